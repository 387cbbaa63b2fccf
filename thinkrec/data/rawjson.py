"""JSON lines, plain or gzipped, as DuckDB views; and their lines as text, for quarantine.

DuckDB makes one row of every line that is not blank, and null fields of one that holds no JSON object. It
checks no gzip checksum and keeps no line's text: so the file is read once more at the end, by `find_lines`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import duckdb
from tqdm import tqdm

from thinkrec.data.database import cut_gzip, name_in_sql, text_in_sql
from thinkrec.data.rawlines import check_encoding
from thinkrec.errors import DataError

NO_OBJECT = "no JSON object with any of the fields"
LONGEST = 1 << 24
"""Most bytes of a line (16 MB)."""
_BLOCK = 1 << 16
_BLANK = re.compile(rb"\n[ \t\r\v\f]*(?:\n|\Z)")
_FIRST_BLANK = re.compile(rb"[ \t\r\v\f]*(?:\n|\Z)")
_GZIP = b"\x1f\x8b"


def is_gzip(path: Path) -> bool:
    """Whether a file starts as gzip does, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _unpacked(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """The bytes of an opened file, out of gzip where it is gzip; checksums are checked."""
    if is_gzip(path):
        from isal import igzip

        return igzip.open(raw, "rb")
    return raw


def read_blocks(path: Path, bar: tqdm | None = None) -> Iterator[bytes]:
    """The bytes of a file, out of gzip, in blocks; `bar` follows the file itself.

    Raises:
        DataError: the gzip stream is broken.
    """
    from isal.isal_zlib import error as isal_error

    try:
        with path.open("rb") as raw, _unpacked(path, raw) as file:
            while data := file.read(_BLOCK):
                if bar is not None:
                    bar.update(raw.tell() - bar.n)
                yield data
    except EOFError:
        raise cut_gzip(path) from None
    except (OSError, zlib.error, isal_error) as error:  # type: ignore[misc]
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(f"{path} is broken inside ({error}): load it again") from None


def open_json(
    connection: duckdb.DuckDBPyConnection, path: Path, view: str, columns: Mapping[str, str]
) -> None:
    """Make `view` of a file of one JSON object a line: line (blank ones not counted), reason, then `columns`.

    Columns (name in the view -> key) are text: strings as they are, other values as JSON, null where a line
    lacks them.

    Raises:
        DataError: the file is empty, can't be read, or is in UTF-16.
    """
    check_encoding(path, read=lambda path: next(read_blocks(path), b"")[:4096])
    names = ", ".join(f"f.{name_in_sql(key)} AS {name_in_sql(name)}" for name, key in columns.items())
    nothing = " AND ".join(f"f.{name_in_sql(key)} IS NULL" for key in columns.values())
    types = ", ".join(f"{name_in_sql(key)}: 'VARCHAR'" for key in columns.values())
    packed = "gzip" if is_gzip(path) else "uncompressed"
    connection.execute(f"""
        CREATE VIEW {view} AS
        SELECT row_number() OVER () AS line, CASE WHEN {nothing} THEN '{NO_OBJECT}' END AS reason, {names}
        FROM read_json(
            {text_in_sql(str(path))}, columns = {{{types}}}, format = 'newline_delimited',
            ignore_errors = true, compression = '{packed}', maximum_object_size = {LONGEST}
        ) AS f
    """)


def find_lines(path: Path, numbers: list[int], total: int) -> dict[int, tuple[int, str]]:
    """The lines with these numbers; the whole file is read, so that its checksum is checked as well.

    Args:
        path: the file.
        numbers: of lines that are not blank, from 1.
        total: lines that are not blank, as DuckDB counted them.

    Returns:
        For each number the line's number with blank ones counted, and its text.

    Raises:
        DataError: the gzip stream is broken, or the file has another count of lines: it has changed.
    """
    found: dict[int, tuple[int, str]] = {}
    wanted = iter(sorted(numbers))
    next_one = next(wanted, None)
    passed = blank = 0
    bar = tqdm(
        total=path.stat().st_size,
        desc=f"checking {path.name}",
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
    )
    for block in _whole_lines(path, bar):
        count = block.count(b"\n") + 1
        blank_ones = _FIRST_BLANK.match(block) or _BLANK.search(block)
        if (next_one is None or next_one > passed + count) and not blank_ones:
            passed += count
            continue
        lines = block.split(b"\n")
        full = [place for place, line in enumerate(lines) if line and not line.isspace()]
        while next_one is not None and next_one <= passed + len(full):
            place = full[next_one - passed - 1]
            text = lines[place].rstrip(b"\r").decode("utf-8", errors="replace")
            found[next_one] = (passed + blank + place + 1, text)
            next_one = next(wanted, None)
        passed += len(full)
        blank += len(lines) - len(full)
    bar.close()
    if passed != total:
        raise DataError(
            f"{path} has {passed:,} lines now, but had {total:,} when it was read: "
            "it must not change meanwhile"
        )
    return found


def _whole_lines(path: Path, bar: tqdm) -> Iterator[bytes]:
    """The file in blocks of whole lines, each without its last LF."""
    rest: list[bytes] = []
    for block in read_blocks(path, bar):
        head, end, tail = block.rpartition(b"\n")
        if not end:
            rest.append(tail)
            continue
        yield b"".join([*rest, head])
        rest = [tail]
    if any(rest):
        yield b"".join(rest)

"""JSON lines, plain or packed, as DuckDB views; and their lines as text, for quarantine.

DuckDB makes one row of every line that is not blank, and null fields of one that holds no JSON object. It
checks no checksum and keeps no line's text: so the file is read once more at the end, by `find_lines`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import duckdb

from thinkrec.data.database import file_in_sql, name_in_sql, text_in_sql, too_long
from thinkrec.data.rawlines import HEAD, SHOWN, check_encoding
from thinkrec.data.unpack import packing, read_blocks
from thinkrec.errors import DataError
from thinkrec.progress import Bar

NO_OBJECT = "no JSON object with any of the fields"
LONGEST = 1 << 24
"""Most bytes of a line (16 MB)."""
_CUT = 8 * SHOWN
"""Bytes of a line that are kept, its first SHOWN characters among them."""
_BLANK = re.compile(rb"\n[ \t\r\v\f]*(?:\n|\Z)")
_FIRST_BLANK = re.compile(rb"[ \t\r\v\f]*(?:\n|\Z)")


def open_json(
    connection: duckdb.DuckDBPyConnection, path: Path, view: str, columns: Mapping[str, str]
) -> None:
    """Make `view` of a file of one JSON object a line: line (blank ones not counted), reason, then `columns`.

    Columns (name in the view -> key) are text: strings as they are, other values as JSON, null where a line
    lacks them.

    Raises:
        DataError: the file is empty, can't be read, or is in UTF-16.
    """
    check_encoding(path, read=lambda path: next(read_blocks(path), b"")[:HEAD])
    names = ", ".join(f"f.{name_in_sql(key)} AS {name_in_sql(name)}" for name, key in columns.items())
    nothing = " AND ".join(f"f.{name_in_sql(key)} IS NULL" for key in columns.values())
    types = ", ".join(f"{name_in_sql(key)}: 'VARCHAR'" for key in columns.values())
    connection.execute(f"""
        CREATE VIEW {view} AS
        SELECT row_number() OVER () AS line, CASE WHEN {nothing} THEN '{NO_OBJECT}' END AS reason, {names}
        FROM read_json(
            {file_in_sql(path)}, columns = {{{types}}}, format = 'newline_delimited', ignore_errors = true,
            compression = '{packing(path)}', maximum_object_size = {LONGEST}, hive_partitioning = false
        ) AS f
    """)


def find_lines(path: Path, numbers: list[int], total: int) -> dict[int, tuple[int, str]]:
    """The lines with these numbers; the whole file is read, so that its checksum is checked as well.

    Args:
        path: the file.
        numbers: of lines that are not blank, from 1.
        total: lines that are not blank, as DuckDB counted them.

    Returns:
        For each number the line's number with blank ones counted, and its first SHOWN characters, or more.

    Raises:
        DataError: the packed stream is broken, a line is too long, or the file has another count of lines: it
            has changed.
    """
    found: dict[int, tuple[int, str]] = {}
    wanted = iter(sorted(numbers))
    next_one = next(wanted, None)
    passed = blank = 0
    bar = Bar(
        total=path.stat().st_size,
        desc=f"checking {path.name}",
        unit="B",
        unit_scale=True,
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
            text = lines[place][:_CUT].rstrip(b"\r").decode("utf-8", errors="replace")
            found[next_one] = (passed + blank + place + 1, text)
            next_one = next(wanted, None)
        passed += len(full)
        blank += len(lines) - len(full)
    bar.close()
    if passed != total:
        raise changed(path, passed, total)
    return found


def changed(path: Path, now: int, before: int) -> DataError:
    """The error of a file whose count of lines changed while it was read."""
    return DataError(
        f"{path} has {now:,} lines now, but had {before:,} when it was read: it must not change meanwhile"
    )


def is_array(path: Path) -> bool:
    """Whether a file is one JSON array, and not JSON lines whose first happens to be one."""
    head = b"".join(islice(read_blocks(path), 2)).removeprefix(codecs.BOM_UTF8).lstrip()
    if not head.startswith(b"["):
        return False
    first, _, rest = head.partition(b"\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return re.match(rb"\[\s*[\[{\]]", head) is not None
    return not rest.strip()


def array_to_lines(connection: duckdb.DuckDBPyConnection, path: Path, lines: Path) -> None:
    """Write the elements of a JSON array to a file of JSON lines; an element's line is its number.

    Raises:
        DataError: it is no sound JSON, or an element is too long.
        StorageError: no room for the lines.
    """
    elements = (
        f"read_json_objects({file_in_sql(path)}, hive_partitioning = false, format = 'array', "
        f"compression = '{packing(path)}', maximum_object_size = {LONGEST})"
    )
    copy = f"COPY (SELECT json(json)::VARCHAR FROM {elements}) TO {text_in_sql(str(lines))}"
    try:
        connection.execute(f"{copy} (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01')")
    except duckdb.InvalidInputException as error:
        if "maximum_object_size" in str(error):
            raise DataError(
                f"{path} has an element of more than {LONGEST:,} bytes; an element holds one record"
            ) from None
        raise DataError(
            f"{path} begins as a JSON array, but is not valid ({str(error).splitlines()[0]}): correct it, or "
            "write one object a line"
        ) from None


def _whole_lines(path: Path, bar: Bar) -> Iterator[bytes]:
    """The file in blocks of whole lines, each without its last LF."""
    rest: list[bytes] = []
    held = 0
    for block in read_blocks(path, bar):
        head, end, tail = block.rpartition(b"\n")
        if not end:
            rest.append(tail)
            if (held := held + len(tail)) > LONGEST:
                raise too_long(path, LONGEST)
            continue
        yield b"".join([*rest, head])
        rest, held = [tail], len(tail)
    if any(rest):
        yield b"".join(rest)

"""JSON lines, plain or compressed, as DuckDB views; and their raw text, for quarantine.

DuckDB reads each non-blank line as a row, with null fields if it is not a JSON object. It verifies no
checksum and keeps no text, so `find_lines` reads the file again at the end.
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
from thinkrec.data.rawlines import EXCERPT, HEAD, check_encoding
from thinkrec.data.unpack import compression, read_blocks
from thinkrec.errors import DataError
from thinkrec.progress import Bar

NO_OBJECT = "no JSON object with any of the fields"
MAX_LINE_BYTES = 1 << 24
"""Maximum bytes of a line (16 MiB)."""
_KEPT_BYTES = 8 * EXCERPT
"""Bytes kept of a line, enough for EXCERPT characters."""
_BLANK = re.compile(rb"\n[ \t\r\v\f]*(?:\n|\Z)")
_FIRST_BLANK = re.compile(rb"[ \t\r\v\f]*(?:\n|\Z)")


def open_json(
    connection: duckdb.DuckDBPyConnection, path: Path, view: str, columns: Mapping[str, str]
) -> None:
    """Create `view` of a JSON lines file: line (without blank lines), reason, then `columns`.

    Columns (name in the view -> key) are text: strings as they are, other values as JSON, null if missing.

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
            compression = '{compression(path)}', maximum_object_size = {MAX_LINE_BYTES},
            hive_partitioning = false
        ) AS f
    """)


def find_lines(path: Path, numbers: list[int], total: int) -> dict[int, tuple[int, str]]:
    """Look up lines by number; the whole file is read, which verifies its checksum.

    Args:
        path: the file.
        numbers: of non-blank lines, from 1.
        total: number of non-blank lines according to DuckDB.

    Returns:
        Per number the line number including blank lines, and at least its first EXCERPT characters.

    Raises:
        DataError: the compressed stream is broken, a line is too long, or the file has changed.
    """
    texts: dict[int, tuple[int, str]] = {}
    pending = iter(sorted(numbers))
    target = next(pending, None)
    seen = blank = 0
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
        if (target is None or target > seen + count) and not blank_ones:
            seen += count
            continue
        lines = block.split(b"\n")
        filled = [place for place, line in enumerate(lines) if line and not line.isspace()]
        while target is not None and target <= seen + len(filled):
            place = filled[target - seen - 1]
            text = lines[place][:_KEPT_BYTES].rstrip(b"\r").decode("utf-8", errors="replace")
            texts[target] = (seen + blank + place + 1, text)
            target = next(pending, None)
        seen += len(filled)
        blank += len(lines) - len(filled)
    bar.close()
    if seen != total:
        raise changed(path, seen, total)
    return texts


def changed(path: Path, now: int, before: int) -> DataError:
    """Make the error of a file that changed while it was read."""
    return DataError(
        f"{path} has {now:,} lines now, but had {before:,} when it was read: it must not change during prep"
    )


def is_array(path: Path) -> bool:
    """Test whether a file is one JSON array, rather than JSON lines that start with one."""
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
    """Write the elements of a JSON array to a JSON lines file, in order.

    Raises:
        DataError: it is not valid JSON, or an element is too long.
        StorageError: no space for the lines.
    """
    elements = (
        f"read_json_objects({file_in_sql(path)}, hive_partitioning = false, format = 'array', "
        f"compression = '{compression(path)}', maximum_object_size = {MAX_LINE_BYTES})"
    )
    copy = f"COPY (SELECT json(json)::VARCHAR FROM {elements}) TO {text_in_sql(str(lines))}"
    try:
        connection.execute(f"{copy} (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01')")
    except duckdb.InvalidInputException as error:
        if "maximum_object_size" in str(error):
            raise DataError(
                f"{path} has an element of more than {MAX_LINE_BYTES:,} bytes; an element holds one record"
            ) from None
        raise DataError(
            f"{path} begins as a JSON array, but is not valid ({str(error).splitlines()[0]}): correct it, or "
            "write one object a line"
        ) from None


def _whole_lines(path: Path, bar: Bar) -> Iterator[bytes]:
    """Yield the file in blocks of whole lines, each without its last LF."""
    rest: list[bytes] = []
    held = 0
    for block in read_blocks(path, bar):
        head, end, tail = block.rpartition(b"\n")
        if not end:
            rest.append(tail)
            if (held := held + len(tail)) > MAX_LINE_BYTES:
                raise too_long(path, MAX_LINE_BYTES)
            continue
        yield b"".join([*rest, head])
        rest, held = [tail], len(tail)
    if any(rest):
        yield b"".join(rest)

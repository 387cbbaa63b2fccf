"""Reference parser of raw files: rows, lines and texts, without DuckDB.

Written against the docstrings of thinkrec/data/csvscan.py, rawlines.py and rawjson.py, independently of their
code: CSV by regular expressions instead of arrays and `csv`, gzip by the standard library instead of isal.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.files import RawText, Written

Rows = list[tuple[int, str]]
"""Line number from 1 and text of each row, in file order."""
EXCERPT = 200
_MOST = 1 << 24
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


class BrokenError(Exception):
    """The file can't be decompressed or opened; an error is correct."""


@cache
def _field(written: Written) -> re.Pattern[str]:
    """Return the pattern of a field, quoted or not."""
    mark = re.escape(written.separator)
    bare = rf"((?:(?!{mark})[^\r\n])*)"
    if not written.quote:
        return re.compile(rf"(?!)()|{bare}")
    quote = re.escape(written.quote)
    return re.compile(
        rf"{quote}((?:[^{quote}]|{quote}{quote})*){quote}(?={mark}|[\r\n]|\Z)|(?!{quote}){bare}"
    )


def unpacked(content: bytes) -> bytes:
    """Decompress a file, if it is gzip or zstd.

    Raises:
        BrokenError: the stream ends early or is damaged.
    """
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            return pa.CompressedInputStream(io.BytesIO(content), "zstd").read()
        except OSError as error:
            raise BrokenError(str(error)) from error
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise BrokenError(str(error)) from error


def rows_of(file: RawText) -> Rows:
    """Parse the rows of a raw file.

    Raises:
        BrokenError: it can't be opened.
    """
    layout, content = file.layout, file.content
    if layout == "parquet":
        try:
            return [(n + 1, "") for n in range(pq.read_metadata(io.BytesIO(content)).num_rows)]
        except (pa.ArrowException, OSError) as error:
            raise BrokenError(str(error)) from error
    if layout == "array":
        try:
            return [(n, "") for n in range(1, len(json.loads(unpacked(content))) + 1)]
        except ValueError as error:
            raise BrokenError(str(error)) from error
    if layout == "json":
        return _json_rows(unpacked(content))
    if layout != "csv":
        return _line_rows(content, layout)
    return csv_rows(unpacked(content), file.written)[int(file.written.header) :]


def _json_rows(data: bytes) -> Rows:
    """Parse lines that end with LF; white space alone is blank."""
    lines = enumerate(data.split(b"\n"), 1)
    return [(n, line.rstrip(b"\r").decode("utf-8", errors="replace")) for n, line in lines if line.strip()]


def _line_rows(data: bytes, encoding: str) -> Rows:
    """Parse lines that end with LF, CR LF or CR; only an empty one is blank."""
    if encoding == "utf-8":
        data = data.removeprefix(b"\xef\xbb\xbf")
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\x02\x03\x02", b"\x02\x02")
    lines = enumerate(data.split(b"\n"), 1)
    return [(n, line.decode(encoding, errors="replace")) for n, line in lines if line]


def csv_rows(data: bytes, written: Written) -> Rows:
    """Parse records, the header first; of one that is broken, or long and of wrong width, its first line."""
    if written.encoding == "utf-8":
        text = data.decode("utf-8-sig", errors="surrogateescape")
    else:
        text = data.decode(written.encoding, errors="replace")
    starts = [match.start() for match in _LINE.finditer(text)]
    rows: Rows = []
    line = width = 0
    while line < len(starts) and starts[line] < len(text):
        start = starts[line]
        fields, end = _record(text, start, written)
        after = line + 1
        while after < len(starts) and starts[after] < end:
            after += 1
        if end > start:  # no blank line
            width = width or fields
        if not fields or (fields != width and after > line + 1):
            after = line + 1
        stop = starts[after] if after < len(starts) else len(text)
        record = text[start:stop].rstrip("\r\n")
        if record:
            whole = record.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
            rows.append((line + 1, whole))
        line = after
    return rows


def fields_of(record: str, written: Written) -> int:
    """Count the fields of a record; 0 if its quotes are broken."""
    return _record(record, 0, written)[0]


def _record(text: str, start: int, written: Written) -> tuple[int, int]:
    """Return the number of fields of the record at `start` (0: broken quotes), and its end."""
    count = 0
    while True:
        field = _field(written).match(text, start)
        if field is None or max(len(part or "") for part in field.groups()) > _MOST:
            return 0, start
        count, start = count + 1, field.end()
        if not text.startswith(written.separator, start):
            return count, start
        start += len(written.separator)

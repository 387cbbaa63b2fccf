"""What the fuzzer of `prep` knows of a raw file without DuckDB: its rows, their lines and texts.

Written against the docstrings of thinkrec/data/rawcsv.py, rawlines.py and rawjson.py, with none of their
code: CSV by a regular expression instead of `csv`, gzip by the standard library instead of isal.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[tuple[int, str]]
"""Line number from 1 and text of every row, in the file's order."""
SHOWN = 200
_MOST = 131_072
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_FIELD = re.compile(r'"((?:[^"]|"")*)"(?=[,\r\n]|\Z)|(?!")([^,\r\n]*)')


class BrokenError(Exception):
    """The file can't be unpacked or opened; a refusal is right."""


def unpacked(content: bytes) -> bytes:
    """A file's bytes, out of gzip where it is gzip.

    Raises:
        BrokenError: the stream ends early or is damaged.
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise BrokenError(str(error)) from error


def rows_of(layout: str, content: bytes) -> Rows:
    """The rows that a raw file gives.

    Raises:
        BrokenError: it can't be opened.
    """
    if layout == "parquet":
        try:
            return [(n + 1, "") for n in range(pq.read_metadata(io.BytesIO(content)).num_rows)]
        except (pa.ArrowException, OSError) as error:
            raise BrokenError(str(error)) from error
    if layout == "json":
        return _json_rows(unpacked(content))
    return csv_rows(content)[1:] if layout == "csv" else _line_rows(content, layout)


def _json_rows(data: bytes) -> Rows:
    """Lines end with LF; one of white space alone is blank."""
    lines = enumerate(data.split(b"\n"), 1)
    return [(n, line.rstrip(b"\r").decode("utf-8", errors="replace")) for n, line in lines if line.strip()]


def _line_rows(data: bytes, encoding: str) -> Rows:
    """Lines end with LF, CR LF or CR; only an empty one is blank."""
    if encoding == "utf-8":
        data = data.removeprefix(b"\xef\xbb\xbf")
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\x02\x03\x02", b"\x02\x02")
    lines = enumerate(data.split(b"\n"), 1)
    return [(n, line.decode(encoding, errors="replace")) for n, line in lines if line]


def csv_rows(data: bytes) -> Rows:
    """Records, the header first; of one that is broken, or is long and of another width, its first line."""
    text = data.decode("utf-8-sig", errors="surrogateescape")
    starts = [match.start() for match in _LINE.finditer(text)]
    found: Rows = []
    line = width = 0
    while line < len(starts) and starts[line] < len(text):
        start = starts[line]
        fields, end = _record(text, start)
        after = line + 1
        while after < len(starts) and starts[after] < end:
            after += 1
        width = width or fields
        if not fields or (fields != width and after > line + 1):
            after = line + 1
        stop = starts[after] if after < len(starts) else len(text)
        record = text[start:stop].rstrip("\r\n")
        if record:
            whole = record.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
            found.append((line + 1, whole))
        line = after
    return found


def _record(text: str, start: int) -> tuple[int, int]:
    """Count of fields of the record at `start` (0: its quotes are broken), and where it ends."""
    count = 0
    while True:
        field = _FIELD.match(text, start)
        if field is None or max(len(part or "") for part in field.groups()) > _MOST:
            return 0, start
        count, start = count + 1, field.end()
        if text[start : start + 1] != ",":
            return count, start
        start += 1

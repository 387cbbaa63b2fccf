"""Text files of one record per line as DuckDB views with reliable line numbers."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from thinkrec.data.database import file_in_sql, too_long
from thinkrec.errors import DataError
from thinkrec.files import storage_errors

CHUNK = 1 << 22
"""Bytes per chunk (4 MiB)."""
_DELIMITER = b"\x02\x03\x02"
"""Delimiter given to DuckDB for its single column; see sql/contract.sql."""
HEAD = 4096
"""Bytes read to detect an encoding."""
WRONG = 0.1
"""Share of unreadable characters above which a file counts as in another encoding (our choice)."""
EXCERPT = 200
"""Characters of a row shown in messages and quarantine."""
MAX_LINE_BYTES = 1_900_000
"""Maximum bytes of a line: DuckDB stops, or drops the line, above 2,000,000."""


def check_encoding(
    path: Path, encoding: str = "utf-8", read: Callable[[Path], bytes] | None = None, remedy: str = ""
) -> None:
    """Check that a file is readable, not empty, and in UTF-16 or UTF-32 if that is expected, else not.

    Args:
        path: the file.
        encoding: the expected encoding.
        read: returns the first bytes of a compressed file.
        remedy: further remedy for a wrong encoding, appended to the message.

    Raises:
        DataError: the file fails a check.
    """
    try:
        head = (read or _head)(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if not head.removeprefix(codecs.BOM_UTF8).strip() and len(head) < HEAD:
        raise DataError(f"{path} is empty")
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        _check_wide(path, head, encoding)
        return
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head.count(0) > len(head) // 5:
        raise DataError(
            f"{path} is in UTF-16 or UTF-32, or is not text; save it as {encoding.upper()}{remedy}"
        )


def _check_wide(path: Path, head: bytes, encoding: str) -> None:
    """Check that a file's first bytes are UTF-16 or UTF-32; single bad characters are left to quarantine."""
    if 0 not in head and _wrong(head, "utf-8") == 0:
        other = "; it reads as UTF-8: set the data set's `encoding` to utf-8"
    elif _wrong(head, encoding) <= WRONG:
        return
    else:
        name = codecs.lookup(encoding).name
        ordered = [f"{name}-le", f"{name}-be"] if name in ("utf-16", "utf-32") else []
        fitting = [each for each in ordered if _wrong(head, each) <= WRONG]
        other = f", or has no byte order mark: set `encoding` to {' or '.join(fitting)}" if fitting else ""
    raise DataError(f"{path} is not in {encoding.upper()}{other}")


def _wrong(head: bytes, encoding: str) -> float:
    """Return the share of a file's first characters that an encoding can't read; the last may be cut off."""
    try:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    except UnicodeError:  # no byte order mark
        return 1.0
    return text.count("\ufffd") / max(len(text), 1)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def open_lines(
    connection: duckdb.DuckDBPyConnection, path: Path, view: str, encoding: str, spool: Path
) -> None:
    """Create `view` of a text file's lines: line (from 1, blank lines counted but left out), text.

    A line ends with LF, CR LF or CR. Undecodable bytes become U+FFFD.

    Args:
        connection: a database with sql/contract.sql.
        path: the file.
        view: name of the view.
        encoding: `utf-8` or a one-byte encoding.
        spool: folder for a cleaned copy, written if DuckDB would misread the file itself.

    Raises:
        DataError: the file is empty, can't be read, or is in another encoding.
        StorageError: no space for the copy.
    """
    check_encoding(path, encoding)
    if not _is_plain(path, encoding):
        path = _copy(path, encoding, spool / f"{view}.txt")
    connection.execute(f"CREATE VIEW {view} AS FROM file_lines({file_in_sql(path)})")


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the file in chunks of whole lines.

    Raises:
        DataError: a line is too long.
    """
    rest = b""
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            data = rest + data
            # A CR at the end may be the first half of CR LF.
            ended = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
            if ended:
                yield data[:ended]
            rest = data[ended:]
            if len(rest) > MAX_LINE_BYTES + 1:
                raise too_long(path, MAX_LINE_BYTES)
    if rest:
        yield rest


def _is_utf8(chunk: bytes) -> bool:
    try:
        chunk.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_plain(path: Path, encoding: str) -> bool:
    """Test whether DuckDB can read the file itself (it miscounts mixed line ends)."""
    plain = True
    for chunk in _chunks(path):
        decodes = chunk.isascii() or _is_utf8(chunk)
        if encoding != "utf-8" and decodes and not chunk.isascii():
            # Latin-1 text is hardly ever valid UTF-8.
            raise DataError(f"{path} is in UTF-8, but this source is in {encoding}; use the original file")
        if _has_long_line(_lf(chunk)):
            raise too_long(path, MAX_LINE_BYTES)
        plain = plain and decodes and b"\r" not in chunk and _DELIMITER not in chunk
    return plain


def _has_long_line(chunk: bytes) -> bool:
    start = 0
    while len(chunk) - start > MAX_LINE_BYTES:
        end = chunk.rfind(b"\n", start, start + MAX_LINE_BYTES + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def _lf(data: bytes) -> bytes:
    """Convert line ends to LF."""
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _copy(path: Path, encoding: str, copy: Path) -> Path:
    """Copy the file in UTF-8 with LF line ends."""
    with storage_errors(copy), copy.open("wb") as file:
        for chunk in _chunks(path):
            data = chunk.decode(encoding, errors="replace").encode("utf-8").replace(_DELIMITER, b"\x02\x02")
            file.write(_lf(data))
    return copy

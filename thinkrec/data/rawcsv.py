"""Delimited text files as DuckDB views: valid records by DuckDB's reader, others from a table.

DuckDB reads the file itself if all its records are valid, else a copy of the valid ones.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO

import duckdb

from thinkrec.data.csvscan import Block, Scan, Single
from thinkrec.data.database import file_in_sql, name_in_sql, text_in_sql
from thinkrec.data.dialect import MAX_FIELDS, Dialect
from thinkrec.data.rawlines import EXCERPT, HEAD, check_encoding
from thinkrec.data.unpack import compression, read_blocks
from thinkrec.errors import DataError
from thinkrec.files import storage_errors

BATCH = 50_000
"""Maximum number of invalid records inserted at once."""
_BATCH_CHARACTERS = 1 << 23
"""Their approximate maximum number of characters."""
_DEFAULT_LINE_SIZE = 2_000_000
"""DuckDB's default of max_line_size, in bytes."""
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons"}


class _Sound:
    """The valid records of a file for DuckDB: in the file itself, or in a copy once one is needed.

    Args:
        scan: the scan, with its first record read.
        copy: path of the copy.
    """

    def __init__(self, scan: Scan, copy: Path) -> None:
        self._scan, self._copy = scan, copy
        self._file: IO[bytes] | None = None
        self.rows = self.longest = 0
        self.multiline = False
        self._newline = b""
        self.skip = 0
        first = scan.first
        if scan.dialect.header:
            ended = first.rstrip(b"\r\n")
            self._newline, self.skip = first[len(ended) :], 1
        self._end = len(first)
        plain = (
            codecs.lookup(scan.dialect.encoding).name == "utf-8" and compression(scan.path) == "uncompressed"
        )
        alone = not any(mark in first[: -len(self._newline) or None] for mark in (b"\r", b"\n"))
        if not plain or not alone or self._newline == b"\r":
            self._open_copy(whole=False)

    @property
    def path(self) -> Path:
        """The file that DuckDB reads."""
        return self._copy if self._file else self._scan.path

    @property
    def newline(self) -> str:
        """Its line end, in the notation of DuckDB's option."""
        return "\\r\\n" if self._newline == b"\r\n" else "\\n"

    def _open_copy(self, whole: bool) -> None:
        """Start the copy, with all records so far (`whole`) or empty."""
        self._file = self._copy.open("wb")
        if not whole:
            self._newline, self.skip = b"\n", 0
            return
        self._newline = self._newline or b"\n"
        with self._scan.path.open("rb") as file:
            mark = file.read(3)
            if mark != codecs.BOM_UTF8:
                file.seek(0)
            left = self._end
            while left and (data := file.read(min(left, 1 << 20))):
                self._file.write(data)
                left -= len(data)

    def add(self, piece: Block | Single) -> None:
        """Add valid records."""
        if isinstance(piece, Single):
            text = self._scan.dialect.join(piece.fields).encode()
            if not self._file:
                self._open_copy(whole=True)
            assert self._file is not None
            self._file.write(text + self._newline)
            self.rows += 1
            self.longest = max(self.longest, len(text))
            self.multiline |= b"\n" in text or b"\r" in text
            return
        self.rows += len(piece.starts)
        self.longest = max(self.longest, int((piece.ends - piece.starts).max()))
        self.multiline |= piece.multiline
        fits = piece.newline in (self._newline, b"") or (not self._newline and piece.newline != b"\r")
        if not self._file and fits and piece.newline is not None and piece.offset == self._end:
            self._newline = self._newline or piece.newline
            self._end += len(piece.data)
            return
        if not self._file:
            self._open_copy(whole=True)
        assert self._file is not None
        if piece.newline == self._newline:
            self._file.write(piece.data)
            if not piece.data.endswith(self._newline):
                self._file.write(self._newline)
        else:
            spans = zip(piece.starts.tolist(), piece.ends.tolist(), strict=True)
            self._file.writelines(piece.data[start:end] + self._newline for start, end in spans)

    def close(self) -> None:
        """Finish; start a copy if anything but records follows the last one."""
        if not self._file and self._scan.length > self._end:
            self._open_copy(whole=True)
        if self._file:
            self._file.close()


class _Unsound:
    """The table of invalid records, filled in batches."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], indices: Sequence[int]
    ) -> None:
        """Create the table; `names` are its columns, `indices` their indices in a record."""
        typed = "".join(f", {name} VARCHAR" for name in names)
        connection.execute(f"CREATE TABLE {table} (line BIGINT, text VARCHAR, reason VARCHAR{typed})")
        values = "unnest(?::BIGINT[])" + ", unnest(?::VARCHAR[])" * (2 + len(names))
        self._connection, self._insert = connection, f"INSERT INTO {table} SELECT {values}"
        self._indices = indices
        self._pending: list[list[object]] = []
        self._characters = 0

    def add(self, record: Single) -> None:
        """Add a record; missing columns are null."""
        values = [record.fields[index] if index < len(record.fields) else None for index in self._indices]
        self._pending.append([record.line, record.text[:EXCERPT], record.reason, *values])
        self._characters += sum(len(each or "") for each in values)
        if len(self._pending) == BATCH or self._characters > _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Insert the pending records."""
        if self._pending:
            columns = [list(column) for column in zip(*self._pending, strict=True)]
            self._connection.execute(self._insert, columns)
            self._pending.clear()
            self._characters = 0


def open_csv(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    view: str,
    columns: Sequence[str],
    dialect: Dialect,
    copy: Path,
    prefix: str = "",
) -> None:
    """Create `view` of a file's records: line (row number), reason (null if usable), columns as text.

    Valid records come first, then invalid ones, each in file order; the latter are in the table
    `<view>_unsound` (line, from 1, blank lines included; first EXCERPT characters of the text; reason;
    columns as far as they can be parsed). Blank lines are skipped. The variable `<view>_sound` is the number
    of valid records.

    Args:
        connection: a database.
        path: the file.
        view: name of the view.
        columns: required columns, in any order.
        dialect: the file's dialect.
        copy: path for a copy of the valid records, if one is needed.
        prefix: prepended to column names in the view.

    Raises:
        DataError: the file is empty, can't be read, or lacks a column.
        StorageError: no space for the copy.
    """
    scan = Scan(path, dialect)
    pieces = scan.pieces()
    first_piece = list(islice(pieces, 1))
    places = [scan.header.index(name) for name in columns]
    names = [name_in_sql(prefix + name) for name in columns]
    unsound = _Unsound(connection, f"{view}_unsound", names, places)
    with storage_errors(copy):
        sound = _Sound(scan, copy)
        for piece in chain(first_piece, pieces):
            if isinstance(piece, Block) or piece.reason is None:
                sound.add(piece)
            else:
                unsound.add(piece)
        sound.close()
    unsound.flush()
    connection.execute(f"SET VARIABLE {view}_sound = {sound.rows}")
    connection.execute(f"""
        CREATE VIEW {view} AS
        SELECT row_number() OVER () AS line, NULL::VARCHAR AS reason, {_aliases(names, places)}
        FROM {_read_csv(sound, len(scan.header), dialect)}
        UNION ALL
        SELECT {sound.rows} + rowid + 1, reason, {", ".join(names)} FROM {view}_unsound
    """)


def find_records(path: Path, dialect: Dialect, rows: list[int]) -> dict[int, tuple[int, str]]:
    """Look up valid records by number, from 1: line and first EXCERPT characters of each."""
    records: dict[int, tuple[int, str]] = {}
    pending, seen = sorted(rows, reverse=True), 0
    for piece in Scan(path, dialect).pieces():
        if isinstance(piece, Single):
            if piece.reason is None:
                seen += 1
                if pending[-1] == seen:
                    records[pending.pop()] = (piece.line, piece.text[:EXCERPT])
        else:
            while pending and pending[-1] <= seen + len(piece.lines):
                place = pending[-1] - seen - 1
                records[pending.pop()] = (int(piece.lines[place]), piece.text(place)[:EXCERPT])
            seen += len(piece.lines)
        if not pending:
            break
    return records


def _aliases(names: Sequence[str], places: Sequence[int]) -> str:
    return ", ".join(f"c{place} AS {name}" for name, place in zip(names, places, strict=True))


def _read_csv(sound: _Sound, width: int, dialect: Dialect) -> str:
    """Write DuckDB's `read_csv` of the valid records."""
    if not sound.rows:
        empty = ", ".join(f"NULL::VARCHAR AS c{place}" for place in range(width))
        return f"(SELECT {empty} WHERE false)"
    options = {
        "columns": "{" + ", ".join(f"c{place}: 'VARCHAR'" for place in range(width)) + "}",
        "force_not_null": "[" + ", ".join(f"'c{place}'" for place in range(width)) + "]",
        "delim": text_in_sql(dialect.separator),
        "quote": text_in_sql(dialect.quote),
        "escape": text_in_sql(dialect.quote),
        "new_line": f"'{sound.newline}'",
        "skip": str(sound.skip),
        "header": "false",
        "auto_detect": "false",
        "compression": "'none'",
        "hive_partitioning": "false",
        "parallel": str(
            not sound.multiline
        ).lower(),  # multi-line records can't be found from the middle of a file
    }
    if sound.longest >= _DEFAULT_LINE_SIZE:
        options |= {"max_line_size": str(sound.longest + 64), "buffer_size": str(2 * sound.longest + 1024)}
    listed = ", ".join(f"{name} = {value}" for name, value in options.items())
    return f"read_csv({file_in_sql(sound.path)}, {listed})"


def resolve(
    path: Path, columns: Sequence[str], dialect: Dialect, separators: Sequence[str], own: bool
) -> Dialect:
    """Determine a file's dialect from its first record.

    Args:
        path: the file.
        columns: required columns; numbers if it has no header.
        dialect: the expected dialect.
        separators: tried in this order if the expected one does not give the columns.
        own: whether it is the custom reader's, whose parameters messages name.

    Raises:
        DataError: the file is empty, can't be read, has too many columns, or lacks one with any separator.
    """
    remedy = ", or set the data set's `encoding`, such as utf-16" if own else ""
    check_encoding(path, dialect.encoding, lambda path: next(read_blocks(path), b"")[:HEAD], remedy)
    headers: dict[str, list[str]] = {}
    for separator in dict.fromkeys((dialect.separator, *separators)):
        candidate = replace(dialect, separator=separator, quote=dialect.quote if len(separator) == 1 else "")
        scan = Scan(path, candidate)
        next(scan.pieces(), None)
        if set(columns) <= set(scan.header):
            if len(scan.header) > MAX_FIELDS:
                raise DataError(f"{path} has more than {MAX_FIELDS:,} columns: keep those that are needed")
            return candidate
        headers[separator] = scan.header
    raise DataError(_missing_column(path, columns, dialect, headers))


def _missing_column(
    path: Path, columns: Sequence[str], dialect: Dialect, headers: dict[str, list[str]]
) -> str:
    """Write the message about a missing column."""
    names = max(headers.values(), key=lambda names: len(set(columns) & set(names)))
    missing = next(name for name in columns if name not in names)
    scan = Scan(path, replace(dialect, header=True))
    next(scan.pieces(), None)
    first = scan.first.decode("utf-8", "replace").strip("\r\n")
    if not first:
        return f"{path} is empty"
    message = f"{path} has no column `{missing}`: its first line is {first[:200]!r}, "
    message += f"needed are {', '.join(columns)}"
    if not dialect.header:
        return f"{message}: without a header, columns are called 1, 2, 3, ..."
    similar = [name for name in names if name.casefold() == missing.casefold()]
    if similar:
        return f"{message} (did you mean `{similar[0]}`?)"
    return f"{message}, separated by {_NAMES.get(dialect.separator, repr(dialect.separator))}"

"""CSV files and other tables of text as DuckDB views: sound records by DuckDB's reader, others from a table.

DuckDB reads the file as it lies there where all of its records are sound; else a copy of those that are.
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
from thinkrec.data.dialect import MOST_FIELDS, Dialect
from thinkrec.data.rawlines import HEAD, SHOWN, check_encoding
from thinkrec.data.unpack import packing, read_blocks
from thinkrec.errors import DataError
from thinkrec.files import storage_errors

BATCH = 50_000
"""Unsound records handed to DuckDB at once, at most."""
_BATCH_CHARACTERS = 1 << 23
"""Characters in them, about."""
_USUAL = 2_000_000
"""Bytes of a record that DuckDB reads unless told otherwise."""
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons"}


class _Sound:
    """The sound records of a file as DuckDB gets to read them: in the file itself as long as that will do.

    Args:
        scan: the pass over the file, its first record read.
        copy: where a copy goes, once one is needed.
    """

    def __init__(self, scan: Scan, copy: Path) -> None:
        self._scan, self._copy = scan, copy
        self._file: IO[bytes] | None = None
        self.rows = self.longest = 0
        self.several = False
        self._newline = b""
        self.skip = 0
        first = scan.first
        if scan.dialect.header:
            ended = first.rstrip(b"\r\n")
            self._newline, self.skip = first[len(ended) :], 1
        self._end = len(first)
        plain = codecs.lookup(scan.dialect.encoding).name == "utf-8" and packing(scan.path) == "uncompressed"
        alone = not any(mark in first[: -len(self._newline) or None] for mark in (b"\r", b"\n"))
        if not plain or not alone or self._newline == b"\r":
            self._open_copy(whole=False)

    @property
    def path(self) -> Path:
        """The file that DuckDB reads."""
        return self._copy if self._file else self._scan.path

    @property
    def newline(self) -> str:
        """Its line end, as DuckDB's option writes it."""
        return "\\r\\n" if self._newline == b"\r\n" else "\\n"

    def _open_copy(self, whole: bool) -> None:
        """Begin a copy, with what came so far, or with nothing."""
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
        """Take the next sound piece."""
        if isinstance(piece, Single):
            text = self._scan.dialect.written(piece.fields).encode()
            if not self._file:
                self._open_copy(whole=True)
            assert self._file is not None
            self._file.write(text + self._newline)
            self.rows += 1
            self.longest = max(self.longest, len(text))
            self.several |= b"\n" in text or b"\r" in text
            return
        self.rows += len(piece.starts)
        self.longest = max(self.longest, int((piece.ends - piece.starts).max()))
        self.several |= piece.several
        fits = piece.newline in (self._newline, b"") or (not self._newline and piece.newline != b"\r")
        if not self._file and fits and piece.newline is not None and piece.at == self._end:
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
        """Tell the last piece; what does not belong to the records may have come behind it."""
        if not self._file and self._scan.length > self._end:
            self._open_copy(whole=True)
        if self._file:
            self._file.close()


class _Unsound:
    """The table of unsound records, filled in batches."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], places: Sequence[int]
    ) -> None:
        """Make it, with the columns of these names, which stand at these places of a record."""
        typed = "".join(f", {name} VARCHAR" for name in names)
        connection.execute(f"CREATE TABLE {table} (line BIGINT, text VARCHAR, reason VARCHAR{typed})")
        values = "unnest(?::BIGINT[])" + ", unnest(?::VARCHAR[])" * (2 + len(names))
        self._connection, self._insert = connection, f"INSERT INTO {table} SELECT {values}"
        self._places = places
        self._waiting: list[list[object]] = []
        self._characters = 0

    def add(self, record: Single) -> None:
        """Take a record; columns that it lacks are null."""
        known = [record.fields[place] if place < len(record.fields) else None for place in self._places]
        self._waiting.append([record.line, record.text[:SHOWN], record.reason, *known])
        self._characters += sum(len(each or "") for each in known)
        if len(self._waiting) == BATCH or self._characters > _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        if self._waiting:
            columns = [list(column) for column in zip(*self._waiting, strict=True)]
            self._connection.execute(self._insert, columns)
            self._waiting.clear()
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
    """Make `view` of a file's records: line (the row's number), reason (null: usable), columns as text.

    Sound records come first, in the file's order; unsound ones follow, in the file's order, from the table
    `<view>_unsound` (line, from 1, blank ones counted; text, of which only the first SHOWN characters are
    kept; reason; columns as far as they can be told). Blank lines are no records. The variable `<view>_sound`
    is how many sound ones there are.

    Args:
        connection: a database.
        path: the file.
        view: name of the view.
        columns: names of columns that it must have, in any order.
        dialect: how it is written.
        copy: where a copy of its sound records goes, if need be.
        prefix: stands before the columns' names in the view.

    Raises:
        DataError: the file is empty, can't be read, or lacks a column.
        StorageError: no room for the copy.
    """
    scan = Scan(path, dialect)
    pieces = scan.pieces()
    ahead = list(islice(pieces, 1))
    places = [scan.header.index(name) for name in columns]
    names = [name_in_sql(prefix + name) for name in columns]
    unsound = _Unsound(connection, f"{view}_unsound", names, places)
    with storage_errors(copy):
        sound = _Sound(scan, copy)
        for piece in chain(ahead, pieces):
            if isinstance(piece, Block) or piece.reason is None:
                sound.add(piece)
            else:
                unsound.add(piece)
        sound.close()
    unsound.flush()
    connection.execute(f"SET VARIABLE {view}_sound = {sound.rows}")
    connection.execute(f"""
        CREATE VIEW {view} AS
        SELECT row_number() OVER () AS line, NULL::VARCHAR AS reason, {_chosen(names, places)}
        FROM {_reading(sound, len(scan.header), dialect)}
        UNION ALL
        SELECT {sound.rows} + rowid + 1, reason, {", ".join(names)} FROM {view}_unsound
    """)


def find_records(path: Path, dialect: Dialect, rows: list[int]) -> dict[int, tuple[int, str]]:
    """Sound records by their numbers, from 1: the line of each, the first SHOWN characters of its text."""
    found: dict[int, tuple[int, str]] = {}
    wanted, passed = sorted(rows, reverse=True), 0
    for piece in Scan(path, dialect).pieces():
        if isinstance(piece, Single):
            if piece.reason is None:
                passed += 1
                if wanted[-1] == passed:
                    found[wanted.pop()] = (piece.line, piece.text[:SHOWN])
        else:
            while wanted and wanted[-1] <= passed + len(piece.lines):
                place = wanted[-1] - passed - 1
                found[wanted.pop()] = (int(piece.lines[place]), piece.text(place)[:SHOWN])
            passed += len(piece.lines)
        if not wanted:
            break
    return found


def _chosen(names: Sequence[str], places: Sequence[int]) -> str:
    return ", ".join(f"c{place} AS {name}" for name, place in zip(names, places, strict=True))


def _reading(sound: _Sound, width: int, dialect: Dialect) -> str:
    """DuckDB's reader of sound records, in SQL."""
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
        "parallel": str(not sound.several).lower(),  # from the middle of a file its records can't be told
    }
    if sound.longest >= _USUAL:
        options |= {"max_line_size": str(sound.longest + 64), "buffer_size": str(2 * sound.longest + 1024)}
    listed = ", ".join(f"{name} = {value}" for name, value in options.items())
    return f"read_csv({file_in_sql(sound.path)}, {listed})"


def resolve(
    path: Path, columns: Sequence[str], dialect: Dialect, separators: Sequence[str], own: bool
) -> Dialect:
    """Tell the dialect of a file by its first record.

    Args:
        path: the file.
        columns: names of columns that it must have; numbers where it has no header.
        dialect: how it is expected to be written.
        separators: tried in this order where the expected one does not give the columns.
        own: a user's own file, whose parameters messages name.

    Raises:
        DataError: the file is empty, can't be read, has too many columns, or lacks one whatever the
            separator.
    """
    way = ", or set the data set's `encoding`, such as utf-16" if own else ""
    check_encoding(path, dialect.encoding, lambda path: next(read_blocks(path), b"")[:HEAD], way)
    headers: dict[str, list[str]] = {}
    for separator in dict.fromkeys((dialect.separator, *separators)):
        tried = replace(dialect, separator=separator, quote=dialect.quote if len(separator) == 1 else "")
        scan = Scan(path, tried)
        next(scan.pieces(), None)
        if set(columns) <= set(scan.header):
            if len(scan.header) > MOST_FIELDS:
                raise DataError(f"{path} has more than {MOST_FIELDS:,} columns: keep those that are needed")
            return tried
        headers[separator] = scan.header
    raise DataError(_lacking(path, columns, dialect, headers))


def _lacking(path: Path, columns: Sequence[str], dialect: Dialect, headers: dict[str, list[str]]) -> str:
    """What to say of a file that lacks a column."""
    names = max(headers.values(), key=lambda names: len(set(columns) & set(names)))
    missing = next(name for name in columns if name not in names)
    scan = Scan(path, replace(dialect, header=True))
    next(scan.pieces(), None)
    first = scan.first.decode("utf-8", "replace").strip("\r\n")
    if not first:
        return f"{path} is empty"
    said = f"{path} has no column `{missing}`: its first line is {first[:200]!r}, "
    said += f"needed are {', '.join(columns)}"
    if not dialect.header:
        return f"{said}: without a header, columns are called 1, 2, 3, ..."
    near = [name for name in names if name.casefold() == missing.casefold()]
    if near:
        return f"{said} (did you mean `{near[0]}`?)"
    return f"{said}, separated by {_NAMES.get(dialect.separator, repr(dialect.separator))}"

"""Formats of raw files: how to open one in DuckDB, and how to look up its rows for quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from thinkrec.config.base import parse_size
from thinkrec.data.database import file_in_sql, name_in_sql
from thinkrec.data.dialect import DEFAULT, Dialect
from thinkrec.data.pages import chunks, copy_bounded
from thinkrec.data.rawcsv import find_records, open_csv, resolve
from thinkrec.data.rawjson import MAX_LINE_BYTES, array_to_lines, changed, find_lines, is_array, open_json
from thinkrec.data.rawlines import EXCERPT, check_encoding, open_lines
from thinkrec.errors import DataError
from thinkrec.files import storage_errors

_VECTOR_ROWS = 2048
"""Rows per vector in DuckDB."""
_KEY_LINES = 100_000
"""Lines among which a configured key must occur."""
Texts = dict[int, tuple[int, str]]
"""Row number -> line in the file (from 1, blank lines included), at least EXCERPT characters of its text."""


class RawFormat(Protocol):
    """A file format."""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Create `view` with columns line (row number), reason (null if usable) and the data as text.

        Rows are numbered from 1 in file order, except that invalid ones may follow all others.

        Args:
            connection: a database with sql/contract.sql.
            path: the file.
            view: name of the view.
            spool: folder for a copy, if one is needed.

        Returns:
            The file in which `texts` looks up rows.

        Raises:
            DataError: the file can't be read, or lacks a column.
        """

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Look up the raw text of rows; `total` is the file's number of rows.

        Raises:
            DataError: the file is broken or has changed.
        """


def _texts(connection: duckdb.DuckDBPyConnection, numbered: str, rows: list[int]) -> Texts:
    """Select rows by number from a query with columns number, line, text."""
    if not rows:
        return {}
    selected = "SELECT unnest(?::BIGINT[])"
    query = f"SELECT number, line, left(text, {EXCERPT}) FROM ({numbered}) WHERE number IN ({selected})"
    return {number: (line, text) for number, line, text in connection.execute(query, [rows]).fetchall()}


@dataclass(frozen=True)
class Csv:
    """A delimited text file.

    Args:
        columns: the columns to read.
        prefix: prepended to column names in the view (custom reader).
        dialect: its dialect.
        separators: tried if the dialect's does not give the columns.
    """

    columns: tuple[str, ...]
    prefix: str = ""
    dialect: Dialect = DEFAULT
    separators: tuple[str, ...] = ()

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Open records of RFC 4180, or of the file's own dialect."""
        dialect = resolve(path, self.columns, self.dialect, self.separators, bool(self.prefix))
        open_csv(connection, path, view, self.columns, dialect, spool / f"{view}.csv", self.prefix)
        return path

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Look up valid records in the file, and invalid ones, numbered after them, in their table."""
        sound = connection.execute(f"SELECT getvariable('{view}_sound')").fetchall()[0][0]
        numbered = f"SELECT {sound} + rowid + 1 AS number, line, text FROM {view}_unsound"
        texts = _texts(connection, numbered, [row for row in rows if row > sound])
        sound_rows = [row for row in rows if row <= sound]
        unsound = connection.execute(f"SELECT count(*) FROM {view}_unsound").fetchall()[0][0]
        if sound + unsound != total:
            raise changed(path, sound + unsound, total)
        if sound_rows:
            dialect = resolve(path, self.columns, self.dialect, self.separators, bool(self.prefix))
            texts |= find_records(path, dialect, sound_rows)
        return texts


@dataclass(frozen=True)
class Lines:
    """Lines of text that the source's SQL parses."""

    encoding: str

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Open lines as a column `text`."""
        open_lines(connection, path, f"{view}_lines", self.encoding, spool)
        connection.execute(
            f"CREATE VIEW {view} AS SELECT row_number() OVER () AS line, text FROM {view}_lines"
        )
        return path

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Look up lines by reading the view again."""
        return _texts(
            connection, f"SELECT row_number() OVER () AS number, line, text FROM {view}_lines", rows
        )


@dataclass(frozen=True)
class JsonLines:
    """JSON lines, plain or compressed; `prefix` is prepended to column names in the view (custom reader)."""

    columns: tuple[str, ...]
    prefix: str = ""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Open the objects' fields; the custom reader also accepts one JSON array, and checks the keys.

        Raises:
            DataError: the file can't be read, or none of its first lines has a key.
        """
        lines = path
        if self.prefix and is_array(path):
            lines = spool / f"{view}.jsonl"
            array_to_lines(connection, path, lines)
            if not lines.stat().st_size:
                raise DataError(f"{path} is empty: its array has no element")
        open_json(connection, lines, view, {self.prefix + name: name for name in self.columns})
        if self.prefix:
            self._refuse_unknown_keys(connection, path, view)
        return lines

    def _refuse_unknown_keys(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str) -> None:
        names = ", ".join(f"count({name_in_sql(self.prefix + name)})" for name in self.columns)
        query = f"SELECT count(*), {names} FROM (FROM {view} WHERE reason IS NULL LIMIT {_KEY_LINES})"
        lines, *counts = connection.execute(query).fetchall()[0]
        for name, count in zip(self.columns, counts, strict=True):
            if lines and not count:
                raise DataError(
                    f"{path}: none of the first {lines:,} lines has the key `{name}`: "
                    f"correct the data set's entry in params.yaml, or sort a line that has it to the front"
                )

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Look up lines by reading the file again, which also verifies its checksum and number of lines."""
        return find_lines(path, rows, total)


@dataclass(frozen=True)
class Parquet:
    """A Parquet file; nested columns are read as JSON; `prefix` is prepended to column names in the view."""

    columns: tuple[str, ...]
    prefix: str = ""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Open the table's columns."""
        check_encoding(path, read=lambda path: path.open("rb").read(4))
        file = f"read_parquet({file_in_sql(path)}, hive_partitioning = false)"
        kinds = self._columns(connection, path, file)
        for name in self.columns:
            if name not in kinds:
                raise DataError(f"{path} has no column `{name}`; it has {', '.join(kinds)}")
        if (copy := self._bounded_copy(connection, path, spool / f"{view}.parquet")) != path:
            file = f"read_parquet({file_in_sql(copy)}, hive_partitioning = false)"
            kinds = self._columns(connection, copy, file)
        chosen = ", ".join(
            f"{_as_text(*kinds[name])} AS {name_in_sql(self.prefix + name)}" for name in self.columns
        )
        connection.execute(
            f"CREATE VIEW {view} AS "
            f"SELECT row_number() OVER () AS line, NULL::VARCHAR AS reason, {chosen} FROM {file} AS f"
        )
        return path

    def _bounded_copy(self, connection: duckdb.DuckDBPyConnection, path: Path, copy: Path) -> Path:
        """Return the file, or a copy in small row groups if its long texts would exceed the memory limit.

        Raises:
            DataError: a value is too long, or a page too large to decompress within the limit.
        """
        limit, threads = connection.execute(
            "SELECT current_setting('memory_limit'), current_setting('threads')"
        ).fetchall()[0]
        budget = parse_size(limit) * 3 // 4
        rows, largest = _VECTOR_ROWS, 0
        for group in chunks(path, self.columns):
            largest = max(largest, *(chunk.largest for chunk in group), 0)
            if (size := sum(chunk.largest for chunk in group)) > budget:
                raise DataError(
                    f"{path} has pages of {size:,} bytes in a row group, and prep.max_memory allows "
                    f"{budget:,}: rewrite it with smaller pages, or set prep.max_memory higher in params.yaml"
                )
            share = budget // (2 * threads) if rows == _VECTOR_ROWS else budget
            while rows > 1 and sum(chunk.window(rows) for chunk in group) > share:
                rows, share = rows // 2, budget
        if rows == _VECTOR_ROWS and largest <= MAX_LINE_BYTES:
            return path
        with storage_errors(copy):
            copy_bounded(path, list(dict.fromkeys(self.columns)), rows, MAX_LINE_BYTES, copy, MAX_LINE_BYTES)
        return copy

    @staticmethod
    def _columns(connection: duckdb.DuckDBPyConnection, path: Path, file: str) -> dict[str, tuple[str, str]]:
        """Map column names in the file to DuckDB's case-insensitive names and types."""
        import pyarrow.parquet as pq

        described = connection.execute(f"DESCRIBE FROM {file}").fetchall()
        names = pq.read_schema(path).names
        if len(names) != len(described):
            names = [name for name, *_ in described]
        columns: dict[str, tuple[str, str]] = {}
        for name, (column, kind, *_) in zip(names, described, strict=True):
            columns.setdefault(name, (column, kind))
        return columns

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Look up rows as JSON."""
        numbered = f"SELECT line AS number, line, to_json(v)::VARCHAR AS text FROM {view} AS v"
        return _texts(connection, numbered, rows)


def _as_text(name: str, kind: str) -> str:
    """Cast a column to text, a nested one to JSON."""
    column = f"f.{name_in_sql(name)}"
    return f"to_json({column})::VARCHAR" if kind.endswith(("]", ")")) else f"{column}::VARCHAR"

"""Formats of raw files: how DuckDB gets to see one, and how its lines are found again for quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from thinkrec.config.base import parse_size
from thinkrec.data.database import file_in_sql, name_in_sql
from thinkrec.data.dialect import DEFAULT, Dialect
from thinkrec.data.pages import chunks, copied
from thinkrec.data.rawcsv import find_records, open_csv, resolve
from thinkrec.data.rawjson import LONGEST, array_to_lines, changed, find_lines, is_array, open_json
from thinkrec.data.rawlines import SHOWN, check_encoding, open_lines
from thinkrec.errors import DataError
from thinkrec.files import storage_errors

_VECTOR = 2048
"""Rows that DuckDB reads at once."""
_LOOKED_AT = 100_000
"""Lines in which a user's key must occur."""
Texts = dict[int, tuple[int, str]]
"""By row number: the line where it starts in the file, from 1, blank ones counted, and its text, of which all
but the first SHOWN characters may be left out."""


class RawFormat(Protocol):
    """A kind of file."""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Make the view `view`: line (the row's number), reason (null: usable), columns as text.

        Rows are numbered from 1, in the file's order, but for unsound ones, which may come behind all others.

        Args:
            connection: a database with sql/contract.sql.
            path: the file.
            view: name of the view.
            spool: folder for a copy, where one is needed.

        Returns:
            The file whose rows `texts` looks up.

        Raises:
            DataError: the file can't be read, or lacks a column.
        """

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """The rows with these numbers as they stand in the file; `total` is how many rows it has.

        Raises:
            DataError: the file turns out to be broken.
        """


def _texts(connection: duckdb.DuckDBPyConnection, numbered: str, rows: list[int]) -> Texts:
    """Of a query that gives number, line, text those with these numbers."""
    if not rows:
        return {}
    wanted = "SELECT unnest(?::BIGINT[])"
    query = f"SELECT number, line, left(text, {SHOWN}) FROM ({numbered}) WHERE number IN ({wanted})"
    return {number: (line, text) for number, line, text in connection.execute(query, [rows]).fetchall()}


@dataclass(frozen=True)
class Csv:
    """A table of text.

    Args:
        columns: those that are read.
        prefix: of a user's own file, stands before the columns' names in the view.
        dialect: how it is written.
        separators: tried where the dialect's does not give the columns.
    """

    columns: tuple[str, ...]
    prefix: str = ""
    dialect: Dialect = DEFAULT
    separators: tuple[str, ...] = ()

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Records of RFC 4180, or of the file's own dialect."""
        dialect = resolve(path, self.columns, self.dialect, self.separators, bool(self.prefix))
        open_csv(connection, path, view, self.columns, dialect, spool / f"{view}.csv", self.prefix)
        return path

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Sound records are looked up in the file; the others stand in a table, behind them by number."""
        sound = connection.execute(f"SELECT getvariable('{view}_sound')").fetchall()[0][0]
        numbered = f"SELECT {sound} + rowid + 1 AS number, line, text FROM {view}_unsound"
        found = _texts(connection, numbered, [row for row in rows if row > sound])
        wanted = [row for row in rows if row <= sound]
        unsound = connection.execute(f"SELECT count(*) FROM {view}_unsound").fetchall()[0][0]
        if sound + unsound != total:
            raise changed(path, sound + unsound, total)
        if wanted:
            dialect = resolve(path, self.columns, self.dialect, self.separators, bool(self.prefix))
            found |= find_records(path, dialect, wanted)
        return found


@dataclass(frozen=True)
class Lines:
    """Lines of text that the source's own SQL takes apart."""

    encoding: str

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """A column `text`; the lines have no reason yet."""
        open_lines(connection, path, f"{view}_lines", self.encoding, spool)
        connection.execute(
            f"CREATE VIEW {view} AS SELECT row_number() OVER () AS line, text FROM {view}_lines"
        )
        return path

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """The view reads them again."""
        return _texts(
            connection, f"SELECT row_number() OVER () AS number, line, text FROM {view}_lines", rows
        )


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line, plain or packed; `prefix`, of a user's own file, stands before its columns."""

    columns: tuple[str, ...]
    prefix: str = ""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Fields of the objects; a user's own must occur in some line, and may stand in one JSON array.

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
        query = f"SELECT count(*), {names} FROM (FROM {view} WHERE reason IS NULL LIMIT {_LOOKED_AT})"
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
        """The file is read once more, which checks its checksum and its count of lines as well."""
        return find_lines(path, rows, total)


@dataclass(frozen=True)
class Parquet:
    """A Parquet file; nested columns read as JSON; `prefix` stands before the columns' names in the view."""

    columns: tuple[str, ...]
    prefix: str = ""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Columns of the table."""
        check_encoding(path, read=lambda path: path.open("rb").read(4))
        file = f"read_parquet({file_in_sql(path)}, hive_partitioning = false)"
        kinds = self._columns(connection, path, file)
        for name in self.columns:
            if name not in kinds:
                raise DataError(f"{path} has no column `{name}`; it has {', '.join(kinds)}")
        if (copy := self._bounded(connection, path, spool / f"{view}.parquet")) != path:
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

    def _bounded(self, connection: duckdb.DuckDBPyConnection, path: Path, copy: Path) -> Path:
        """The file, or a copy in small row groups where its long texts would take too much memory at once.

        Raises:
            DataError: a value is too long, or a page too large to be unpacked within the limit.
        """
        limit, threads = connection.execute(
            "SELECT current_setting('memory_limit'), current_setting('threads')"
        ).fetchall()[0]
        most = parse_size(limit) * 3 // 4
        rows, largest = _VECTOR, 0
        for group in chunks(path, self.columns):
            largest = max(largest, *(chunk.largest for chunk in group), 0)
            if (needed := sum(chunk.largest for chunk in group)) > most:
                raise DataError(
                    f"{path} has pages of {needed:,} bytes in a row group, and prep.max_memory allows "
                    f"{most:,}: write it anew with smaller pages, or set prep.max_memory higher in "
                    "params.yaml"
                )
            share = most // (2 * threads) if rows == _VECTOR else most
            while rows > 1 and sum(chunk.window(rows) for chunk in group) > share:
                rows, share = rows // 2, most
        if rows == _VECTOR and largest <= LONGEST:
            return path
        with storage_errors(copy):
            copied(path, list(dict.fromkeys(self.columns)), rows, LONGEST, copy, LONGEST)
        return copy

    @staticmethod
    def _columns(connection: duckdb.DuckDBPyConnection, path: Path, file: str) -> dict[str, tuple[str, str]]:
        """By each column's name in the file: DuckDB's for it, which knows no upper case, and its type."""
        import pyarrow.parquet as pq

        described = connection.execute(f"DESCRIBE FROM {file}").fetchall()
        names = pq.read_schema(path).names
        if len(names) != len(described):
            names = [name for name, *_ in described]
        found: dict[str, tuple[str, str]] = {}
        for name, (called, kind, *_) in zip(names, described, strict=True):
            found.setdefault(name, (called, kind))
        return found

    def texts(
        self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, rows: list[int], total: int
    ) -> Texts:
        """Rows as JSON."""
        numbered = f"SELECT line AS number, line, to_json(v)::VARCHAR AS text FROM {view} AS v"
        return _texts(connection, numbered, rows)


def _as_text(name: str, kind: str) -> str:
    """A column as text; a nested one as JSON."""
    column = f"f.{name_in_sql(name)}"
    return f"to_json({column})::VARCHAR" if kind.endswith(("]", ")")) else f"{column}::VARCHAR"

"""One reader per raw source: which files it has, how each is opened, and the SQL that reads it.

A further source adds its SQL files and one function to `READERS`; nothing after reading knows sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from thinkrec.config.sections import DemoSource, Ml1mSource, Source
from thinkrec.data.database import run_sql
from thinkrec.data.rawcsv import open_csv
from thinkrec.data.rawlines import open_lines
from thinkrec.data.splits import MonthSplit, ShareSplit, SplitRule
from thinkrec.errors import DataError, MissingInputError


@dataclass(frozen=True)
class RawFile:
    """One raw file.

    Args:
        name: file name in the raw folder.
        sql: name of the SQL file that brings it into a table of sql/contract.sql.
        open: makes the table or view that the SQL file reads; given a connection, the file's path and a
            folder for copies.
        needed: without it the source can't be read.
        advice: what to do about a needed file that `thinkrec fetch` does not bring.
    """

    name: str
    sql: str
    open: Callable[[duckdb.DuckDBPyConnection, Path, Path], None]
    needed: bool = True
    advice: str = ""


@dataclass(frozen=True)
class Reader:
    """A raw source: its files in reading order, the bounds of a rating, and the rule of its splits."""

    files: tuple[RawFile, ...]
    lowest: float
    highest: float
    split: SplitRule


def _csv(name: str, *columns: str, needed: bool = True) -> RawFile:
    def open_(connection: duckdb.DuckDBPyConnection, path: Path, spool: Path) -> None:
        open_csv(connection, path, f"{name}_file", columns)

    return RawFile(f"{name}.csv", f"demo_{name}", open_, needed)


def _lines(file: str, name: str, encoding: str, advice: str = "") -> RawFile:
    def open_(connection: duckdb.DuckDBPyConnection, path: Path, spool: Path) -> None:
        open_lines(connection, path, f"{name}_file", encoding, spool)

    return RawFile(file, f"ml1m_{name}", open_, advice=advice)


def _demo(source: DemoSource) -> Reader:
    files = (
        _csv("items", "item", "title", "description"),
        _csv("users", "user", needed=False),
        _csv("ratings", "user", "item", "rating", "timestamp"),
        _csv("truth", "user", "item", "timestamp", "probability", needed=False),
    )
    return Reader(files, 1, 5, ShareSplit(source.held_out))


def _ml1m(source: Ml1mSource) -> Reader:
    """users.dat is not read: the method uses no demographics, and ratings.dat has the users' ids."""
    files = [_lines("movies.dat", "items", "latin-1"), _lines("ratings.dat", "ratings", "latin-1")]
    if source.plots:
        advice = "put it there, or set plots: false in params.yaml"
        files.append(_lines("movies_extrainfos.dat", "plots", "utf-8", advice))
    return Reader(tuple(files), 1, 5, MonthSplit(source.train, source.valid, source.test))


READERS: dict[str, Callable[..., Reader]] = {"demo": _demo, "ml1m": _ml1m}
"""By the name that a source's `reader` has in params.yaml."""


def reader_of(source: Source) -> Reader:
    """The reader of a source's section."""
    return READERS[source.reader](source)


def check_files(reader: Reader, folder: Path, command: str) -> None:
    """Check that all needed raw files are there, before any is read.

    Args:
        reader: what is to be read.
        folder: the raw folder.
        command: makes the raw files; named when one is missing.

    Raises:
        MissingInputError: the folder, or a file that `command` makes, is missing.
        DataError: a file that only the user can bring is missing.
    """
    if not folder.is_dir():
        raise MissingInputError(folder, command)
    for raw in reader.files:
        path = folder / raw.name
        if raw.needed and not path.exists():
            if raw.advice:
                raise DataError(f"{path} is not there: {raw.advice}")
            raise MissingInputError(path, command)


def read(connection: duckdb.DuckDBPyConnection, reader: Reader, folder: Path, spool: Path) -> None:
    """Fill the tables of sql/contract.sql from the raw files; `spool` is a folder for copies.

    Raises:
        DataError: a file can't be read, is in another encoding, or lacks a column.
    """
    run_sql(connection, "contract")
    for raw in reader.files:
        path = folder / raw.name
        if raw.needed or path.exists():
            raw.open(connection, path, spool)
            run_sql(connection, raw.sql)

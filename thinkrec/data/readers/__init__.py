"""One reader per raw source: which files it has, how each is opened, and the SQL that reads it.

A further source adds a module here, its SQL files, and a line to `READERS`; nothing later knows sources.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import duckdb
from duckdb.func import SPECIAL

from thinkrec.config.sources import Source
from thinkrec.data.database import run_sql
from thinkrec.data.listed import listed
from thinkrec.data.readers.base import RawFile, Reader
from thinkrec.data.readers.book import book
from thinkrec.data.readers.custom import custom
from thinkrec.data.readers.demo import demo
from thinkrec.data.readers.ml1m import ml1m
from thinkrec.data.readers.yelp import yelp
from thinkrec.errors import DataError, MissingInputError
from thinkrec.files import kind_of, why

READERS: dict[str, Callable[..., Reader]] = {
    "demo": demo, "ml1m": ml1m, "yelp": yelp, "book": book, "custom": custom
}  # fmt: skip
"""By the name that a source's `reader` has in params.yaml."""


def reader_of(source: Source) -> Reader:
    """The reader of a source's section.

    Raises:
        ConfigError: the section names a file of no known format.
    """
    return READERS[source.reader](source)


def check_files(reader: Reader, folder: Path, shown: str, command: str | None) -> dict[RawFile, str]:
    """Check that all needed raw files are there, before any is read.

    Args:
        reader: what is to be read.
        folder: the raw folder.
        shown: how messages call it.
        command: makes the raw files, if one does; named when one is missing.

    Returns:
        For each file that is there its name.

    Raises:
        MissingInputError: the folder, or a file that `command` makes, is missing.
        DataError: a file that only the user can bring is missing, or something there is no file.
    """
    try:
        return _check_files(reader, folder, shown, command)
    except OSError as error:
        raise DataError(f"cannot read {shown}: {why(error)}") from error


def _check_files(reader: Reader, folder: Path, shown: str, command: str | None) -> dict[RawFile, str]:
    if not folder.is_dir():
        if command:
            raise MissingInputError(Path(shown), command)
        wanted = " and ".join(raw.names[0] for raw in reader.files if raw.needed)
        raise DataError(
            f"{shown} is not there: make that folder and put {wanted} into it, "
            "or correct `raw` in params.yaml"
        )
    found = {}
    for raw in reader.files:
        if name := raw.name_in(folder):
            mode = (folder / name).stat().st_mode
            if not stat.S_ISREG(mode):
                raise DataError(f"{shown}/{name} is {kind_of(mode)}, not a file: put the raw file there")
            found[raw] = name
        elif raw.needed:
            missing = " or ".join(f"{shown}/{name}" for name in raw.names)
            if command and not raw.advice:
                raise MissingInputError(Path(missing), command)
            raise DataError(f"{missing} is not there: {raw.advice or 'put it there'}")
    return found


def open_files(
    connection: duckdb.DuckDBPyConnection, files: dict[RawFile, str], folder: Path, spool: Path
) -> dict[RawFile, Path]:
    """Fill the tables of sql/contract.sql from the raw files, or make views that will; `spool`: for copies.

    Returns:
        For each file the one whose rows its format looks up (see `RawFormat.texts`).

    Raises:
        DataError: a file can't be read, is in another encoding, or lacks a column.
    """
    run_sql(connection, "contract")
    connection.create_function("listed", listed, ["VARCHAR"], "VARCHAR[]", null_handling=SPECIAL)
    run_sql(connection, "lists")
    opened = {}
    for raw, name in files.items():
        opened[raw] = raw.format.open(connection, folder / name, raw.view, spool)
        connection.execute(f"CREATE VIEW {raw.kind}_rows AS FROM {raw.view}")
        if " " in raw.sql:
            connection.execute(raw.sql)
        else:
            run_sql(connection, raw.sql)
    return opened

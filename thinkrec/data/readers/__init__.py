"""Readers of raw sources: their files, how to open each, and the SQL that reads it.

To add a source, add a module here, its SQL files, and an entry of `READERS`.
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
from thinkrec.files import kind_of, reason_of

READERS: dict[str, Callable[..., Reader]] = {
    "demo": demo, "ml1m": ml1m, "yelp": yelp, "book": book, "custom": custom
}  # fmt: skip
"""Readers by the value of `reader` in params.yaml."""


def reader_of(source: Source) -> Reader:
    """Return the reader of a source's section.

    Raises:
        ConfigError: the section names a file of unknown format.
    """
    return READERS[source.reader](source)


def check_files(reader: Reader, folder: Path, display: str, command: str | None) -> dict[RawFile, str]:
    """Check that all required raw files exist, before any is read.

    Args:
        reader: the reader.
        folder: the raw folder.
        display: its name in messages.
        command: command that creates the raw files, if there is one.

    Returns:
        The names of the files that exist.

    Raises:
        MissingInputError: the folder, or a file that `command` creates, is missing.
        DataError: a file that the user must provide is missing, or is not a regular file.
    """
    try:
        return _check_files(reader, folder, display, command)
    except OSError as error:
        raise DataError(f"cannot read {display}: {reason_of(error)}") from error


def _check_files(reader: Reader, folder: Path, display: str, command: str | None) -> dict[RawFile, str]:
    if not folder.is_dir():
        if command:
            raise MissingInputError(Path(display), command)
        wanted = " and ".join(raw.names[0] for raw in reader.files if raw.needed)
        raise DataError(
            f"{display} is not there: make that folder and put {wanted} into it, "
            "or correct `raw` in params.yaml"
        )
    names = {}
    for raw in reader.files:
        if name := raw.name_in(folder):
            mode = (folder / name).stat().st_mode
            if not stat.S_ISREG(mode):
                raise DataError(f"{display}/{name} is {kind_of(mode)}, not a file: put the raw file there")
            names[raw] = name
        elif raw.needed:
            missing = " or ".join(f"{display}/{name}" for name in raw.names)
            if command and not raw.advice:
                raise MissingInputError(Path(missing), command)
            raise DataError(f"{missing} is not there: {raw.advice or 'put it there'}")
    return names


def open_files(
    connection: duckdb.DuckDBPyConnection, files: dict[RawFile, str], folder: Path, spool: Path
) -> dict[RawFile, Path]:
    """Create the tables and views of sql/contract.sql from the raw files; `spool`: folder for copies.

    Returns:
        For each raw file the file in which its format looks up rows (see `RawFormat.texts`).

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

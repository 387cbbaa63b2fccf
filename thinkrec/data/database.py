"""DuckDB for one stage: a connection that spills inside the work area, and the SQL files beside this room."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from thinkrec.config.base import parse_size
from thinkrec.errors import ConfigError, DataError, StorageError
from thinkrec.files import storage_errors

OWN_MEMORY = 400_000_000
"""Bytes that Python, the library itself and its read buffers need beside DuckDB's limit (measured)."""
LEAST_MEMORY = 100_000_000
"""Lowest limit that is given to DuckDB."""

_STORAGE = re.compile(
    r"no space left|disk quota|read-only file system|permission denied|"
    r"file too large|max_temp_directory_size",
    re.IGNORECASE,
)
_PATTERN = re.compile(r"[*?\[]")
_LONG = re.compile(r'"maximum_object_size" of (\d+) bytes exceeded while reading file "(.*)" \(')

_UNREADABLE = "DuckDB cannot read the raw files"


@contextmanager
def connect(work: Path, memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database whose spill files lie in `work`; that folder is removed at the end.

    The folder around it goes as well when nothing else is in it.

    Args:
        work: folder that nothing else uses.
        memory: most memory of the process, such as `2GB`; what does not fit is spilled. None: half of what
            the machine, or the container, has.

    Raises:
        StorageError: the disk is full or may not be written, for results as for spilled rows.
        DataError: DuckDB can't read a raw file.
    """
    shutil.rmtree(work, ignore_errors=True)  # what a killed run spilled
    with storage_errors(work):
        work.mkdir(parents=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{_limit(memory)}B",
        "temp_directory": str(work),
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("SET enable_progress_bar = false")  # it would write to the standard output
        yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if said := _STORAGE.search(str(error)):
            raise StorageError(
                f"DuckDB cannot write: {said.group(0).lower()} (spill folder {work}); "
                "free space or rights, then run again"
            ) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise _too_little(memory) from error
        if cut := re.search(r"Unexpected end of GZIP stream: (.*)", str(error)):
            raise cut_gzip(Path(cut.group(1))) from None
        raise DataError(f"{_UNREADABLE}: {str(error).splitlines()[0]}") from error
    except MemoryError as error:
        raise _too_little(memory) from error
    except duckdb.InvalidInputException as error:
        if found := _LONG.search(str(error)):
            raise too_long(Path(found[2]), int(found[1])) from None
        raise DataError(f"{_UNREADABLE}: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # what DuckDB makes of Ctrl-C
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # other stages keep something there
            work.parent.rmdir()


def _too_little(memory: str | None) -> ConfigError:
    given = memory or "half of the memory"
    return ConfigError(f"{given} is too little for this data set: set prep.max_memory higher in params.yaml")


def too_long(path: Path, most: int, line: int | None = None) -> DataError:
    """The error of a file with a line of more than `most` bytes; `line`: its number, where that is known."""
    what = "has a line of" if line is None else f"line {line:,}, has"
    where = f"{path} " if line is None else f"{path}, "
    return DataError(f"{where}{what} more than {most:,} bytes; a line holds one record")


def cut_gzip(path: Path) -> DataError:
    """The error of a gzip file that is not whole, most often a download that broke off."""
    return DataError(
        f"{path} ends in the middle of its gzip stream: load it again, or keep what it holds by "
        f"`gzip -dc {path.name} > {path.stem}; rm {path.name}`"
    )


def _limit(memory: str | None) -> int:
    """Bytes for DuckDB itself."""
    if memory is None:
        with duckdb.connect() as probe:  # its own default is 80 % of the machine or container
            found = probe.execute("SELECT current_setting('memory_limit')").fetchall()
        return max(parse_size(found[0][0]) * 5 // 8 - OWN_MEMORY, LEAST_MEMORY)
    return max(parse_size(memory) - OWN_MEMORY, LEAST_MEMORY)


def run_sql(connection: duckdb.DuckDBPyConnection, name: str, **values: Any) -> None:
    """Run the statements of `sql/<name>.sql`; `values` are its variables, read there by `getvariable`."""
    for key, value in values.items():
        connection.execute(f"SET VARIABLE {key} = ?", [value])
    connection.execute((resources.files(f"{__package__}.sql") / f"{name}.sql").read_text(encoding="utf-8"))


def rows(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[Any] | None = None
) -> list[dict[str, Any]]:
    """Answer of a query, `values` for its question marks, as one dict a row; for small answers."""
    answer = connection.execute(query, values)
    names = [column[0] for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def text_in_sql(text: str) -> str:
    """A text as SQL writes it, for statements that take no values."""
    return "'" + text.replace("'", "''") + "'"


def file_in_sql(path: Path) -> str:
    """A file's path as DuckDB's readers take it: this file, whatever signs stand in its name.

    Raises:
        DataError: the path has a backslash beside a sign of a pattern, which DuckDB can't tell apart.
    """
    text = str(path.absolute())
    if (escaped := _PATTERN.sub(r"[\g<0>]", text)) != text and "\\" in text:
        raise DataError(f"{path} can't be read for its name: it has a backslash and one of *?[, rename it")
    return text_in_sql(escaped)


def name_in_sql(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def copy_out(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write a query's answer, in its order, to a Parquet file; the same rows give the same bytes."""
    connection.execute(f"COPY ({query}) TO {text_in_sql(str(path))} (FORMAT parquet, COMPRESSION zstd)")

"""DuckDB connections that spill into the work area, and the SQL files."""

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
"""Bytes that Python, DuckDB itself and its read buffers need on top of DuckDB's limit (measured)."""
MIN_MEMORY = 100_000_000
"""Minimum of DuckDB's limit, in bytes."""

_STORAGE = re.compile(
    r"no space left|disk quota|read-only file system|permission denied|"
    r"file too large|max_temp_directory_size",
    re.IGNORECASE,
)
_PATTERN = re.compile(r"[*?\[]")
_LONG_LINE = re.compile(r'"maximum_object_size" of (\d+) bytes exceeded while reading file "(.*)" \(')

_UNREADABLE = "DuckDB cannot read the raw files"


@contextmanager
def connect(work: Path, memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database that spills to `work`; remove that folder at the end.

    Its parent is removed as well if empty.

    Args:
        work: folder that nothing else uses.
        memory: memory limit of the process, such as `2GB`; the rest is spilled. None: half of the memory of
            the machine or container.

    Raises:
        StorageError: the disk is full or not writable.
        DataError: DuckDB can't read a raw file.
    """
    shutil.rmtree(work, ignore_errors=True)  # left by a killed run
    with storage_errors(work):
        work.mkdir(parents=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{_limit(memory)}B",
        "temp_directory": str(work),
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("SET enable_progress_bar = false")  # it prints to standard output
        yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if storage := _STORAGE.search(str(error)):
            raise StorageError(
                f"DuckDB cannot write: {storage.group(0).lower()} (spill folder {work}); "
                "free space or rights, then run again"
            ) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise _memory_error(memory) from error
        if truncated := re.search(r"Unexpected end of GZIP stream: (.*)", str(error)):
            raise truncated_gzip(Path(truncated.group(1))) from None
        raise DataError(f"{_UNREADABLE}: {str(error).splitlines()[0]}") from error
    except MemoryError as error:
        raise _memory_error(memory) from error
    except duckdb.InvalidInputException as error:
        if long_line := _LONG_LINE.search(str(error)):
            raise too_long(Path(long_line[2]), int(long_line[1])) from None
        raise DataError(f"{_UNREADABLE}: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # Ctrl-C
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # not empty
            work.parent.rmdir()


def _memory_error(memory: str | None) -> ConfigError:
    given = memory or "half of the memory"
    return ConfigError(f"{given} is too little for this data set: set prep.max_memory higher in params.yaml")


def too_long(path: Path, limit: int, line: int | None = None) -> DataError:
    """Make the error of a line of more than `limit` bytes; `line`: its number, if known."""
    what = "has a line of" if line is None else f"line {line:,}, has"
    where = f"{path} " if line is None else f"{path}, "
    return DataError(f"{where}{what} more than {limit:,} bytes; a line holds one record")


def truncated_gzip(path: Path) -> DataError:
    """Make the error of a truncated gzip file."""
    return DataError(
        f"{path} ends in the middle of its gzip stream: download it again, or keep what it holds by "
        f"`gzip -dc {path.name} > {path.stem}; rm {path.name}`"
    )


def _limit(memory: str | None) -> int:
    """Compute DuckDB's memory limit in bytes."""
    if memory is None:
        with duckdb.connect() as probe:  # DuckDB's default is 80 % of the machine or container
            setting = probe.execute("SELECT current_setting('memory_limit')").fetchall()
        return max(parse_size(setting[0][0]) * 5 // 8 - OWN_MEMORY, MIN_MEMORY)
    return max(parse_size(memory) - OWN_MEMORY, MIN_MEMORY)


def run_sql(connection: duckdb.DuckDBPyConnection, name: str, **values: Any) -> None:
    """Run `sql/<name>.sql`; `values` are its variables, read there by `getvariable`."""
    for key, value in values.items():
        connection.execute(f"SET VARIABLE {key} = ?", [value])
    connection.execute((resources.files(f"{__package__}.sql") / f"{name}.sql").read_text(encoding="utf-8"))


def rows(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[Any] | None = None
) -> list[dict[str, Any]]:
    """Run a query, with `values` for its question marks; return one dict per row."""
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def text_in_sql(text: str) -> str:
    """Quote a text for SQL statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def file_in_sql(path: Path) -> str:
    """Quote a file's path for DuckDB's readers, with glob characters escaped.

    Raises:
        DataError: the path has both a backslash and a glob character, which DuckDB can't escape.
    """
    text = str(path.absolute())
    if (escaped := _PATTERN.sub(r"[\g<0>]", text)) != text and "\\" in text:
        raise DataError(f"{path} can't be read because its name has a backslash and one of *?[: rename it")
    return text_in_sql(escaped)


def name_in_sql(name: str) -> str:
    """Quote a column's name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def copy_out(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write a query's result, in its order, to a Parquet file; deterministic byte for byte."""
    connection.execute(f"COPY ({query}) TO {text_in_sql(str(path))} (FORMAT parquet, COMPRESSION zstd)")

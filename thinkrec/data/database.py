"""DuckDB for one stage: a connection that spills inside the work area, and the SQL files beside this room."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from thinkrec.errors import DataError, StorageError
from thinkrec.files import storage_errors

MEMORY = "1GB"
"""Most memory of a connection before it spills to disk (our choice: ML1M needs a quarter of it)."""

_STORAGE = re.compile(
    r"no space left|disk quota|read-only file system|permission denied|"
    r"file too large|max_temp_directory_size",
    re.IGNORECASE,
)


@contextmanager
def connect(work: Path, memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database whose spill files lie in `work`; that folder is removed at the end.

    Args:
        work: folder that nothing else uses.
        memory: limit in DuckDB's words, such as `1GB`; what does not fit is spilled.

    Raises:
        StorageError: the disk is full or may not be written, for results as for spilled rows.
        DataError: DuckDB can't read a raw file.
    """
    shutil.rmtree(work, ignore_errors=True)  # what a killed run spilled
    with storage_errors(work):
        work.mkdir(parents=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory,
        "temp_directory": str(work),
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(config=settings)
    try:
        yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if said := _STORAGE.search(str(error)):
            raise StorageError(
                f"DuckDB cannot write: {said.group(0).lower()} (spill folder {work}); "
                "free space or rights, then run again"
            ) from error
        raise
    except duckdb.InvalidInputException as error:
        raise DataError(f"DuckDB cannot read the raw files: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # what DuckDB makes of Ctrl-C
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()
        shutil.rmtree(work, ignore_errors=True)


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


def copy_out(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write a query's answer, in its order, to a Parquet file; the same rows give the same bytes."""
    quoted = str(path).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")

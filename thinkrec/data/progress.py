"""A bar for the steps of a stage that DuckDB does, with an estimate of what the step at hand still takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from thinkrec.progress import Bar

EVERY = 0.5
"""Seconds between two looks at DuckDB."""
FORMAT = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"


@contextmanager
def progress(connection: duckdb.DuckDBPyConnection, title: str) -> Iterator[Callable[[str], None]]:
    """Show what share of its query DuckDB has done, a bar for each step.

    Yields:
        A function to be called with the name of each step as it begins; without one there is no bar.
    """
    connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    ended = threading.Event()
    bar: Bar | None = None

    def watch() -> None:
        while not ended.wait(EVERY):
            if (shown := bar) is not None:
                shown.n = max(shown.n, min(round(connection.query_progress(), 1), 100))
                shown.refresh()

    def step(name: str) -> None:
        nonlocal bar
        if bar is not None:
            bar.close()
            bar = None
        if name:
            bar = Bar(total=100, desc=f"{title}: {name}", unit="%", bar_format=FORMAT, leave=False)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield step
    finally:
        ended.set()
        watcher.join()
        step("")

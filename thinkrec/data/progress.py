"""Progress bars of a stage's DuckDB queries, with remaining time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from thinkrec.progress import Bar

EVERY = 0.5
"""Seconds between two updates."""


@contextmanager
def progress(connection: duckdb.DuckDBPyConnection, title: str) -> Iterator[Callable[[str], None]]:
    """Show DuckDB's progress, one bar per step.

    Yields:
        A function to call with the name of each step; an empty name hides the bar.
    """
    connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    ended = threading.Event()
    bar: Bar | None = None

    def watch() -> None:
        while not ended.wait(EVERY):
            if (current := bar) is not None:
                current.n = max(current.n, min(round(connection.query_progress(), 1), 100))
                current.refresh()

    def step(name: str) -> None:
        nonlocal bar
        if bar is not None:
            bar.close()
            bar = None
        if name:
            bar = Bar(total=100, desc=f"{title}: {name}", unit="%", leave=False)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield step
    finally:
        ended.set()
        watcher.join()
        step("")

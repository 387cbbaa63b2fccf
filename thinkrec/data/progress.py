"""A bar for the steps of a stage that DuckDB does, with an estimate of what the step at hand still takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb
from tqdm import tqdm

EVERY = 0.5
"""Seconds between two looks at DuckDB."""


@contextmanager
def progress(connection: duckdb.DuckDBPyConnection, title: str) -> Iterator[Callable[[str], None]]:
    """Show what share of its query DuckDB has done, on a terminal only.

    Yields:
        A function to be called with the name of each step as it begins; without one the bar waits.
    """
    bar = tqdm(
        total=100,
        unit="%",
        bar_format="{desc}{percentage:3.0f}% |{bar}| {elapsed}<{remaining}",
        disable=None,
        leave=False,
    )
    if bar.disable:
        yield lambda name: None
        return
    connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            if bar.desc:
                bar.n = max(bar.n, min(round(connection.query_progress(), 1), 100))
                bar.refresh()

    def step(name: str) -> None:
        if name:
            bar.reset()
            bar.set_description(f"{title}: {name}")
        else:
            bar.set_description("", refresh=False)
            bar.clear()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield step
    finally:
        ended.set()
        watcher.join()
        bar.close()

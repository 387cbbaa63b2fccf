"""The embedded data set: four CSV files."""

from __future__ import annotations

from thinkrec.config.sources import DemoSource
from thinkrec.data.formats import Csv
from thinkrec.data.readers.base import Kind, RawFile, Reader


def _csv(kind: Kind, *columns: str, needed: bool = True) -> RawFile:
    return RawFile(kind, (f"{kind}.csv",), Csv(columns), f"demo_{kind}", needed)


def demo(source: DemoSource) -> Reader:
    """Build the reader. users.csv and truth.csv are optional."""
    files = (
        _csv("items", "item", "title", "description"),
        _csv("users", "user", needed=False),
        _csv("ratings", "user", "item", "rating", "timestamp"),
        _csv("truth", "user", "item", "timestamp", "probability", needed=False),
    )
    return Reader(files, 1, 5, source.positive_above)

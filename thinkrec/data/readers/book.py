"""Amazon reviews in the layout of 2018, any category: reviews and metadata as JSON lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from thinkrec.config.sources import BookSource
from thinkrec.data.formats import JsonLines
from thinkrec.data.readers.base import Kind, RawFile, Reader
from thinkrec.data.unpack import read_blocks
from thinkrec.errors import DataError

_ADVICE = "download it from https://nijianmo.github.io/amazon/ (Amazon review data of 2018)"
_MARKS = {
    "2014": re.compile(rb"""["'](helpful|salesRank|imUrl)["']\s*:|^\s*\{\s*'"""),
    "2023": re.compile(rb'"(parent_asin|user_id|helpful_vote)"\s*:'),
}
"""Marks of other layouts' lines; the metadata of 2014 are Python literals in single quotes."""
SCRIPT = "title is a page's script (getTime)"
_HEAD = 1 << 16
_INSTEAD = {
    "2014": "take the files of 2018",
    "2023": "take the files of 2018, or read these with `reader: custom` (user: user_id, item: parent_asin, "
    "timestamp: timestamp, time: milliseconds, item_id: parent_asin)",
}


@dataclass(frozen=True)
class AmazonLines(JsonLines):
    """JSON lines of 2018."""

    def open(self, connection: duckdb.DuckDBPyConnection, path: Path, view: str, spool: Path) -> Path:
        """Open the file and reject other layouts.

        Raises:
            DataError: the file is in the layout of 2014 or of 2023.
        """
        opened = super().open(connection, path, view, spool)
        head = next(read_blocks(path))[:_HEAD]
        lines = [line for line in head.splitlines() if line.strip()][:20]
        for layout, mark in _MARKS.items():
            if sum(bool(mark.search(line)) for line in lines) > len(lines) / 2:
                raise DataError(
                    f"{path} is in Amazon's layout of {layout}, which is not supported: {_INSTEAD[layout]}"
                )
        return opened


def _json(kind: Kind, name: str, *columns: str) -> RawFile:
    names = f"{name}.json.gz", f"{name}.json"
    return RawFile(kind, names, AmazonLines(columns), f"book_{kind}", advice=_ADVICE)


def book(source: BookSource) -> Reader:
    """Build the reader. Reviews without metadata are left out; of several metadata rows the last counts."""
    reviews = source.category + ("_5" if source.five_core else "")
    columns = ("asin", "title", "description", "category", "brand", "price")
    files = (
        _json("items", f"meta_{source.category}", *columns),
        _json("ratings", reviews, "reviewerID", "asin", "overall", "unixReviewTime"),
    )
    return Reader(files, 1, 5, source.positive_above, frozenset({"duplicate", SCRIPT}))

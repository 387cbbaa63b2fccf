"""Readers: raw files in reading order, and bounds of ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Literal

from thinkrec.data.formats import RawFormat

Kind = Literal["items", "users", "plots", "ratings", "truth"]


@dataclass(frozen=True)
class RawFile:
    """One raw file.

    Args:
        kind: kind of its rows; the SQL reads the view `<kind>_rows`.
        names: possible names in the raw folder, the first existing one is read.
        format: its format.
        sql: name of the SQL file that fills a table of sql/contract.sql, or the SQL itself.
        needed: whether it is required.
        advice: what to do if it is missing and `thinkrec fetch` does not create it.
    """

    kind: Kind
    names: tuple[str, ...]
    format: RawFormat
    sql: str
    needed: bool = True
    advice: str = ""

    @property
    def view(self) -> str:
        """Name of its view."""
        return f"{self.kind}_file"

    def name_in(self, folder: Path) -> str | None:
        """Return its name in a folder, or None if it is missing."""
        return next((name for name in self.names if (folder / name).exists()), None)


@dataclass(frozen=True)
class Reader:
    """A raw source.

    Args:
        files: in reading order.
        lowest: minimum rating.
        highest: maximum rating.
        positive_above: ratings above it are likes.
        usual: reasons expected in the source; they do not count towards prep.max_bad_rows.
        own: whether the files are the user's own, so that messages name their parameters.
        doubts: warning -> SQL condition on `items_rows`.
    """

    files: tuple[RawFile, ...]
    lowest: float = -inf
    highest: float = inf
    positive_above: float = 3
    usual: frozenset[str] = frozenset()
    own: bool = False
    doubts: Mapping[str, str] = field(default_factory=dict)

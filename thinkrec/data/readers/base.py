"""What a reader is: its raw files in reading order, and the bounds of its ratings."""

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
        kind: what its rows are; the SQL reads the view `<kind>_rows`.
        names: its name in the raw folder; the first of several that is there is read.
        format: how it is opened.
        sql: name of the SQL file that brings it into a table of sql/contract.sql, or the SQL itself.
        needed: without it the source can't be read.
        advice: what to do when it is missing, where `thinkrec fetch` does not bring it.
    """

    kind: Kind
    names: tuple[str, ...]
    format: RawFormat
    sql: str
    needed: bool = True
    advice: str = ""

    @property
    def view(self) -> str:
        """Name of its view in the database."""
        return f"{self.kind}_file"

    def name_in(self, folder: Path) -> str | None:
        """The name under which it lies in a folder, or None."""
        return next((name for name in self.names if (folder / name).exists()), None)


@dataclass(frozen=True)
class Reader:
    """A raw source.

    Args:
        files: in reading order.
        lowest: of all ratings.
        highest: of all ratings.
        positive_above: a rating above it is a like.
        usual: reasons that the source's own rules make common; they do not count towards prep.max_bad_rows.
        own: a user's own files, whose parameters messages may name.
        doubts: what to warn of in items, and the SQL condition on `items_rows` that finds it.
    """

    files: tuple[RawFile, ...]
    lowest: float = -inf
    highest: float = inf
    positive_above: float = 3
    usual: frozenset[str] = frozenset()
    own: bool = False
    doubts: Mapping[str, str] = field(default_factory=dict)

"""What a trained system answers, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Scores:
    """Scores of items for one user.

    Shapes: n items.

    Args:
        system: that gave them.
        dataset: its data set.
        user: raw id, or None for a history that was handed in.
        basis: what the scores know of the user.
        items: n raw ids.
        titles: n titles.
        scores: [n] float32, higher means rather liked; comparable within one system only.
    """

    system: str
    dataset: str
    user: str | None
    basis: str
    items: tuple[str, ...]
    titles: tuple[str, ...]
    scores: np.ndarray

    def __len__(self) -> int:
        """Count of items."""
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Pairs of raw id and score."""
        return iter(zip(self.items, self.scores.tolist(), strict=True))

    def to_arrow(self) -> pa.Table:
        """A table of item, title, score."""
        import pyarrow as pa

        return pa.table({"item": list(self.items), "title": list(self.titles), "score": self.scores})

    def to_pandas(self) -> pd.DataFrame:
        """A frame of item, title, score."""
        return self.to_arrow().to_pandas()


@dataclass(frozen=True)
class Influence:
    """One interaction of a history, and how a score changes without it.

    Args:
        item: raw id.
        title: of the item.
        liked: whether the user liked it.
        moved: score less the score without this interaction: above 0, it raised the score.
    """

    item: str
    title: str
    liked: bool
    moved: float


@dataclass(frozen=True)
class Explanation:
    """Why a system scores an item as it does.

    Args:
        system: that was asked.
        dataset: its data set.
        user: raw id, or None for a history that was handed in.
        basis: what the score knows of the user.
        item: raw id.
        title: of the item.
        score: as `Scores` has it.
        reason: the language model's own words, verdict first; None from a system that has none.
        history: interactions that the score may change with, what moved it most first.
    """

    system: str
    dataset: str
    user: str | None
    basis: str
    item: str
    title: str
    score: float
    reason: str | None
    history: tuple[Influence, ...]

    def to_arrow(self) -> pa.Table:
        """A table of the history: item, title, liked, moved."""
        import pyarrow as pa

        names = ("item", "title", "liked", "moved")
        return pa.table({name: [getattr(each, name) for each in self.history] for name in names})

    def to_pandas(self) -> pd.DataFrame:
        """The same as a frame."""
        return self.to_arrow().to_pandas()

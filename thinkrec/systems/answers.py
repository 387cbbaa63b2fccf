"""What a trained system answers, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Verdicts = Sequence[tuple[str, bool]] | Mapping[str, bool]
"""Raw item ids and whether each was liked, oldest first."""


@dataclass(frozen=True)
class Mixture:
    """What the gate decided for one user.

    Args:
        weights: K + 1, summing to 1: the global LoRA's, then each expert's.
    """

    weights: tuple[float, ...]

    def __str__(self) -> str:
        """Name the parts with their weights, the largest first."""
        parts = sorted(enumerate(self.weights), key=lambda part: -part[1])
        names = ((f"expert {k}" if k else "global LoRA", weight) for k, weight in parts if weight > 0)
        return ", ".join(f"{name} {weight:.2f}" for name, weight in names)


@dataclass(frozen=True)
class Question:
    """What is asked about one user: items to be scored, or the best of some candidates.

    Args:
        user: raw id of a user of the data set; None for a history.
        history: raw item id and whether it was liked, oldest first; for somebody who is in no data set.
        items: raw ids. With `k` also an encoder and a count, such as `lightgcn:200`, or None: all items, for
            a language model the best of an encoder.
        k: how many of the best; None scores all of `items`, in their order.
        why: generate a reason for each item of the answer.
        called: what errors call `items`: the option or key that gave them; None: items, with `k` candidates.
    """

    user: str | None = None
    history: Verdicts | None = None
    items: Sequence[str] | str | None = None
    k: int | None = None
    why: bool = False
    called: str | None = None


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
        mixture: the gate's decision; None from a system without experts.
        reasons: n texts of the language model, verdict first; None where they were not asked for, or the
            system has none.
    """

    system: str
    dataset: str
    user: str | None
    basis: str
    items: tuple[str, ...]
    titles: tuple[str, ...]
    scores: np.ndarray
    mixture: Mixture | None = None
    reasons: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Count of items."""
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Pairs of raw id and score."""
        return iter(zip(self.items, self.scores.tolist(), strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """Return item, title, score and reason of each item as plain values, in order."""
        reasons = self.reasons or [None] * len(self)
        return [
            {"item": item, "title": title, "score": score, "reason": reason}
            for item, title, score, reason in zip(
                self.items, self.titles, self.scores.tolist(), reasons, strict=True
            )
        ]

    def to_arrow(self) -> pa.Table:
        """A table of item, title, score; and reason, where there are reasons."""
        import pyarrow as pa

        columns = {"item": list(self.items), "title": list(self.titles), "score": self.scores}
        return pa.table(columns | ({} if self.reasons is None else {"reason": list(self.reasons)}))

    def to_pandas(self) -> pd.DataFrame:
        """The same as a frame."""
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
        mixture: the gate's decision; None from a system without experts.
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
    mixture: Mixture | None = None

    def to_arrow(self) -> pa.Table:
        """A table of the history: item, title, liked, moved."""
        import pyarrow as pa

        names = ("item", "title", "liked", "moved")
        return pa.table({name: [getattr(each, name) for each in self.history] for name in names})

    def to_pandas(self) -> pd.DataFrame:
        """The same as a frame."""
        return self.to_arrow().to_pandas()

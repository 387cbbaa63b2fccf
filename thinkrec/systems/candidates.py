"""What systems are asked: items, each after the history before a row of some interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.protocols import Protocol

NOBODY = 0
"""The user_id of somebody whom the data set does not hold."""


@dataclass(frozen=True)
class History:
    """One user's interactions, oldest first, and when the candidates are asked about.

    Shapes: h interactions.

    Args:
        user: user_id, or NOBODY.
        items: [h] int64 item_id.
        labels: [h] int64, 1 liked, 0 not.
        timestamps: [h] int64, nanoseconds since 1970.
        split: [h] int8, index into SPLITS, as in the data set.
        moment: when the candidates are asked about, nanoseconds since 1970.
    """

    user: int
    items: np.ndarray
    labels: np.ndarray
    timestamps: np.ndarray
    split: np.ndarray
    moment: int

    def __len__(self) -> int:
        """Count of interactions."""
        return len(self.items)

    def latest(self, count: int) -> History:
        """Keep the latest interactions."""
        first = max(len(self) - count, 0)
        return replace(
            self,
            items=self.items[first:],
            labels=self.labels[first:],
            timestamps=self.timestamps[first:],
            split=self.split[first:],
        )

    def without(self, place: int) -> History:
        """Leave the interaction at a place out."""
        return replace(
            self,
            items=np.delete(self.items, place),
            labels=np.delete(self.labels, place),
            timestamps=np.delete(self.timestamps, place),
            split=np.delete(self.split, place),
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items to be scored, each after the history before a row of some interactions.

    Shapes: n candidates. A row may come several times: its history is then the same for all of them.

    Args:
        data: the interactions that hold the histories.
        rows: [n] row numbers; what lies before each in its user's time line is the history.
        items: [n] item_id asked about at these rows' moments, in place of the rows' own.
        protocol: which part of what precedes counts.
        handed_in: the histories were handed in: `data` holds nothing else, not the data set.
    """

    data: Interactions
    rows: np.ndarray
    items: np.ndarray
    protocol: Protocol = "rolling"
    handed_in: bool = False

    @classmethod
    def of_rows(cls, data: Interactions, rows: np.ndarray, protocol: Protocol = "rolling") -> Candidates:
        """Ask about rows of a data set themselves."""
        return cls(data, rows, data.item_id[rows], protocol)

    @classmethod
    def of_histories(cls, histories: Sequence[History], items: Sequence[np.ndarray]) -> Candidates:
        """Ask about items after each of these histories.

        Each history is laid out with one more row behind it, which stands for the moment of asking: item 0,
        split test.

        Args:
            histories: may be of the same user several times.
            items: for each history the item_ids asked about.
        """
        moment = np.zeros(1, dtype=np.int64)

        def column(name: str, last: list[int]) -> np.ndarray:
            parts = (
                part
                for each, end in zip(histories, last, strict=True)
                for part in (getattr(each, name), moment + end)
            )
            return np.concatenate(list(parts)).astype(np.int64)

        none = [0] * len(histories)
        sizes = np.array([len(each) + 1 for each in histories])
        data = Interactions(
            user_id=np.repeat([each.user for each in histories], sizes).astype(np.int64),
            item_id=column("items", none),
            label=column("labels", none),
            timestamp=column("timestamps", [each.moment for each in histories]),
            position=np.concatenate([np.arange(size) for size in sizes]),
            split=column("split", [SPLITS.index("test")] * len(histories)).astype(np.int8),
            not_cold=np.ones(int(sizes.sum()), dtype=bool),
        )
        rows = np.repeat(np.cumsum(sizes) - 1, [len(each) for each in items])
        return cls(data, rows, np.concatenate(items).astype(np.int64), handed_in=True)

    def __len__(self) -> int:
        """Count of candidates."""
        return len(self.rows)

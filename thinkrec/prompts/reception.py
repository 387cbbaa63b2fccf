"""How other users received an item, in words that stand before its keywords."""

from __future__ import annotations

import numpy as np

from thinkrec.data.tables import SPLITS, Interactions

LEVELS = (
    (0.8, "wide acclaim"),
    (0.7, "broad appeal"),
    (0.6, "good reception"),
    (0.5, "mixed reception"),
    (0.4, "modest reception"),
    (0.3, "weak reception"),
    (0.0, "poor reception"),
)
"""From which share of likes an item's reception has which name, the best first (our choice)."""
MIN_ROWS = 3
"""Training rows of others below which nothing is said (our choice)."""
PRIOR = 10.0
"""Rows of the mean share added to an item's (our choice)."""
_TRAIN = SPLITS.index("train")


class Receptions:
    """Receptions of items by the likes in training rows.

    Rows of valid and test count nowhere. A training row does not count in what its own prompt shows, so that
    no prompt knows the label that it asks for.

    Args:
        data: the interactions of a data set.

    Leaving the own row out makes an item's share a little lower where the row is a like, which changes the
    level of some rows. Seven levels instead of exact shares keep that small.

    Source: our choice, after means of target values that leave out the row itself; a language model knows
    of no other place what a mean of items knows.
    """

    def __init__(self, data: Interactions) -> None:
        """Count likes and rows of each item."""
        rows = data.rows("train")
        size = int(data.item_id.max(initial=0)) + 1
        self._rows = np.bincount(data.item_id[rows], minlength=size)
        self._likes = np.bincount(data.item_id[rows], data.label[rows], minlength=size)
        self._all_rows, self._all_likes = len(rows), int(data.label[rows].sum())

    def of(self, item: int, own: bool | None = None) -> str | None:
        """Name an item's reception; None where too few others rated it.

        Args:
            item: item id.
            own: label of the training row that does not count; None: all count.
        """
        if item >= len(self._rows):
            return None
        less, liked = int(own is not None), int(own or False)
        rows, likes = int(self._rows[item]) - less, float(self._likes[item]) - liked
        if rows < MIN_ROWS:
            return None
        mean = (self._all_likes - liked) / (self._all_rows - less)
        share = (likes + PRIOR * mean) / (rows + PRIOR)
        return next(name for least, name in LEVELS if share >= least)


def own_labels(data: Interactions, rows: np.ndarray, items: np.ndarray) -> list[bool | None]:
    """Return labels of the training rows among some rows, [n]; None for others, and for another item."""
    own = (data.split[rows] == _TRAIN) & (data.item_id[rows] == items)
    labels = (data.label[rows] == 1).tolist()
    return [label if counts else None for label, counts in zip(labels, own.tolist(), strict=True)]

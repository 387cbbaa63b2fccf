"""How most users received an item, as one of its keywords."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout, require

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
MIN_ROWS = 20
"""Training rows below which an item's reception is not said (our choice)."""
PRIOR = 10.0
"""Rows of the mean share added to an item's (our choice)."""


def receptions(data: Interactions, items: Sequence[int]) -> list[str | None]:
    """Name the reception of items by the likes in training rows.

    A training row counts in the reception that its own prompt shows: at MIN_ROWS it moves the share by 1 in
    30, a third of a level. Rows of valid and test count nowhere.

    Args:
        data: the interactions.
        items: item ids, [n].

    Returns:
        A name for each item, None where it has too few training rows, [n].

    Source: our choice; a language model can know of no other place what the means of items know.
    """
    rows = data.rows("train")
    size = max([*items, int(data.item_id.max(initial=0))], default=0) + 1
    count = np.bincount(data.item_id[rows], minlength=size)
    likes = np.bincount(data.item_id[rows], data.label[rows], minlength=size)
    mean = data.label[rows].mean() if len(rows) else 0.0
    share = (likes + PRIOR * mean) / (count + PRIOR)
    return [
        next(name for least, name in LEVELS if share[item] >= least) if count[item] >= MIN_ROWS else None
        for item in items
    ]


def led_by_reception(layout: Layout, items: Sequence[int], keywords: list[list[str]]) -> list[list[str]]:
    """Return the items' keywords behind their receptions, where these are known.

    Raises:
        MissingInputError: there are no interactions.
    """
    require(layout, "interactions")
    names = receptions(Interactions.load(layout.interactions), items)
    return [words if name is None else [name, *words] for name, words in zip(names, keywords, strict=True)]

"""How other users received an item, in words that stand before its keywords."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from scipy.special import logit

from thinkrec.data.tables import Interactions

LEVELS = (
    (1.25, "wide acclaim"),
    (0.7, "broad appeal"),
    (0.25, "good reception"),
    (-0.15, "mixed reception"),
    (-0.55, "modest reception"),
    (-1.0, "weak reception"),
    (-inf, "poor reception"),
)
"""From which log-odds of a like, over those of all training rows, a reception has which name (our choice).

Where half of all rows are likes, these are shares of .78, .67, .56, .46, .37 and .27.
"""
NAMES = frozenset(name for _, name in LEVELS)
MIN_ROWS = 3
"""Training rows of others below which nothing is said (our choice)."""
PRIOR = 10.0
"""Rows of the mean share added to an item's (our choice)."""


class Own(NamedTuple):
    """Training rows of one user, which do not count in the user's prompts.

    Args:
        rows, likes: about one item.
        all_rows, all_likes: about all items.
    """

    rows: int = 0
    likes: int = 0
    all_rows: int = 0
    all_likes: int = 0


NOTHING = Own()


class Receptions:
    """How others received items, by the likes in training rows.

    Rows of valid and test count nowhere. In a prompt no training row of the prompt's own user counts, so that
    no prompt knows the label that it asks for. Later training rows of other users do count, as they do in
    the vectors of the encoders.

    Leaving the own row out lowers an item's share where that row is a like and raises it where it is not. So
    an item's likes and dislikes can see two levels, the likes the lower one: about half of the items with 12
    training rows, a tenth of those with 100. A model that reads levels alone gains nothing by it. One that
    learns single items by heart, in several passes over few rows, could, and valid would show a loss.

    Args:
        data: the interactions of a data set.

    Source: our choice, after means of target values that leave out the row itself. A prompt says nowhere else
    what all other users thought of an item.
    """

    def __init__(self, data: Interactions) -> None:
        """Count likes and rows of each item, and of each user with each item."""
        rows = data.rows("train")
        items, likes = data.item_id[rows].astype(np.int64), data.label[rows]
        self._size = int(data.item_id.max(initial=0)) + 1
        self._rows = np.bincount(items, minlength=self._size)
        self._likes = np.bincount(items, likes, minlength=self._size)
        self._all_rows, self._all_likes = len(rows), float(likes.sum())
        users = data.user_id[rows].astype(np.int64)
        self._user_rows, self._user_likes = np.bincount(users), np.bincount(users, likes)
        self._pairs, pair = np.unique(users * self._size + items, return_inverse=True)
        self._pair_rows, self._pair_likes = np.bincount(pair), np.bincount(pair, likes)

    def own(self, users: np.ndarray, items: np.ndarray) -> list[Own]:
        """Return what does not count in lines about items in prompts of users. Shapes: both [n]."""
        wanted = users.astype(np.int64) * self._size + items
        at = np.searchsorted(self._pairs, wanted)
        found = np.zeros((len(wanted), 4), np.int64)
        there = np.flatnonzero((at < len(self._pairs)) & (items < self._size))
        there = there[self._pairs[at[there]] == wanted[there]]
        found[there, :2] = np.stack([self._pair_rows[at[there]], self._pair_likes[at[there]]], axis=1)
        known = np.flatnonzero(users < len(self._user_rows))
        found[known, 2:] = np.stack([self._user_rows[users[known]], self._user_likes[users[known]]], axis=1)
        return [Own(*each) for each in found.tolist()]

    def of(self, item: int, own: Own = NOTHING) -> str | None:
        """Name an item's reception; None where too few others rated it.

        Args:
            item: item id.
            own: training rows that do not count.
        """
        if item >= self._size or self._rows[item] - own.rows < MIN_ROWS:
            return None
        rows, likes = int(self._rows[item]) - own.rows, float(self._likes[item]) - own.likes
        all_rows, all_likes = self._all_rows - own.all_rows, self._all_likes - own.all_likes
        # One row more of either kind, so that no share is 0 or 1.
        mean = (all_likes + 1) / (all_rows + 2)
        share = (likes + PRIOR * mean) / (rows + PRIOR)
        over = float(logit(share) - logit(mean))
        return next(name for least, name in LEVELS if over >= least)

"""Trivial floors, fitted to train labels only, and the ceiling that knows the labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.metrics.ranking import auc

SMOOTHING = (1.0, 3.0, 10.0, 30.0, 100.0)
_FALLBACK = 10.0
FLOORS = ("random", "popularity", "item_mean", "user_mean", "user_item_mean")
CEILING = "labels"


def _logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))


@dataclass(frozen=True)
class Counts:
    """Rows and likes in train, by id. Shapes: U users, I items, index 0 unused.

    Args:
        user_rows, user_likes: [U + 1].
        item_rows, item_likes: [I + 1].
        mean: share of likes among all train rows, one like and one dislike added, so that it has a logit.
    """

    user_rows: np.ndarray
    user_likes: np.ndarray
    item_rows: np.ndarray
    item_likes: np.ndarray
    mean: float

    @classmethod
    def of_train(cls, data: Interactions) -> Counts:
        """Count the train rows; valid and test labels are never read."""
        rows = data.rows("train")
        user, item, label = data.user_id[rows], data.item_id[rows], data.label[rows]
        users, items = data.users + 1, int(data.item_id.max(initial=0)) + 1
        return cls(
            np.bincount(user, minlength=users),
            np.bincount(user, weights=label, minlength=users),
            np.bincount(item, minlength=items),
            np.bincount(item, weights=label, minlength=items),
            (float(label.sum()) + 1) / (len(rows) + 2),
        )

    def item_logit(self, item: np.ndarray, smoothing: float) -> np.ndarray:
        """Log-odds of an item's like share, [n], `smoothing` rows of the global mean added to it."""
        share = (self.item_likes + smoothing * self.mean) / (self.item_rows + smoothing)
        return _logit(share)[item]

    def user_logit(self, user: np.ndarray, smoothing: float) -> np.ndarray:
        """As `item_logit`, of a user's like share, [n]."""
        share = (self.user_likes + smoothing * self.mean) / (self.user_rows + smoothing)
        return _logit(share)[user]


def _best(data: Interactions, candidates: dict[tuple[float, ...], np.ndarray]) -> tuple[float, ...]:
    """The smoothing whose scores of the valid rows have the highest AUC; the first of equals."""
    label = data.label[data.rows("valid")]
    found = {key: auc(label, score) for key, score in candidates.items()}
    known = {key: value for key, value in found.items() if value is not None}
    if known:
        return max(known, key=lambda key: known[key])
    return (_FALLBACK,) * len(next(iter(candidates)))


@dataclass(frozen=True)
class Floors:
    """Scores by what needs no model, counted in train.

    - random: one score for all, so that metrics are the expected values of a random order.
    - popularity: log(1 + train rows of the item).
    - item_mean: log-odds of the item's like share in train, smoothed towards the global share.
    - user_mean: the same of the user, one score for all of a user's rows.
    - user_item_mean: the same of item plus user, minus the global log-odds.

    Users and items that train does not have fall back to the global share. All but popularity are logits.

    Args:
        counts: of train.
        smoothing: weight of the global share by name of the floor (item, then user).

    Source: our choice.
    """

    counts: Counts
    smoothing: dict[str, list[float]]

    @classmethod
    def fit(cls, data: Interactions) -> Floors:
        """Count train's labels; choose weights from SMOOTHING by AUC on valid (10 where it has one class)."""
        counts, valid = Counts.of_train(data), data.rows("valid")
        item = {c: counts.item_logit(data.item_id[valid], c) for c in SMOOTHING}
        user = {c: counts.user_logit(data.user_id[valid], c) for c in SMOOTHING}
        both = _best(data, {(a, b): item[a] + user[b] for a, b in product(SMOOTHING, SMOOTHING)})
        chosen = {
            "item_mean": [*_best(data, {(c,): item[c] for c in SMOOTHING})],
            "user_mean": [*_best(data, {(c,): user[c] for c in SMOOTHING})],
            "user_item_mean": [*both],
        }
        return cls(counts, chosen)

    def scores(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """Score pairs of user_id and item_id, [n] each; returns [n] float64 by name of the floor."""
        counts = self.counts
        base = float(_logit(np.array(counts.mean)))
        by_item, by_user = self.smoothing["user_item_mean"]
        return {
            "random": np.full(len(item), base),
            "popularity": np.log1p(counts.item_rows[item]),
            "item_mean": counts.item_logit(item, *self.smoothing["item_mean"]),
            "user_mean": counts.user_logit(user, *self.smoothing["user_mean"]),
            "user_item_mean": counts.item_logit(item, by_item) + counts.user_logit(user, by_user) - base,
        }


def floors(data: Interactions, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Fit the floors and score rows, [n] row numbers; returns `Floors.scores` and `Floors.smoothing`."""
    fitted = Floors.fit(data)
    return fitted.scores(data.user_id[rows], data.item_id[rows]), fitted.smoothing


def ceiling(data: Interactions, rows: np.ndarray) -> np.ndarray:
    """Labels as scores, [n] float64: the highest value that each metric can take on these rows."""
    return data.label[rows].astype(np.float64)

"""Trivial baselines (floors) fitted on train, and the ceiling that uses the true labels as scores."""

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
    """Train rows and likes by id. Shapes: U users, I items, index 0 unused.

    Args:
        user_rows, user_likes: [U + 1].
        item_rows, item_likes: [I + 1].
        mean: share of likes in train, with one like and one dislike added so that its logit is finite.
    """

    user_rows: np.ndarray
    user_likes: np.ndarray
    item_rows: np.ndarray
    item_likes: np.ndarray
    mean: float

    @classmethod
    def of_train(cls, data: Interactions) -> Counts:
        """Count train's rows."""
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
        """Compute the log-odds of the items' like shares, smoothed by `smoothing` rows at the mean, [n]."""
        share = (self.item_likes + smoothing * self.mean) / (self.item_rows + smoothing)
        return _logit(share)[item]

    def user_logit(self, user: np.ndarray, smoothing: float) -> np.ndarray:
        """Compute the same for users, [n]."""
        share = (self.user_likes + smoothing * self.mean) / (self.user_rows + smoothing)
        return _logit(share)[user]


def _best(data: Interactions, candidates: dict[tuple[float, ...], np.ndarray]) -> tuple[float, ...]:
    """Choose the smoothing with the highest AUC on valid, the first in case of a tie."""
    label = data.label[data.rows("valid")]
    aucs = {key: value for key, score in candidates.items() if (value := auc(label, score)) is not None}
    if aucs:
        return max(aucs, key=lambda key: aucs[key])
    return (_FALLBACK,) * len(next(iter(candidates)))


@dataclass(frozen=True)
class Floors:
    """Non-personalised and mean baselines, counted in train.

    - random: a constant, so that metrics are their expected values under random order.
    - popularity: log(1 + train rows of the item).
    - item_mean: log-odds of the item's like share in train, smoothed towards the global share.
    - user_mean: the same for the user.
    - user_item_mean: their sum, minus the global log-odds.

    Unknown users and items fall back to the global share. All scores but popularity are logits.

    Args:
        counts: of train.
        smoothing: pseudo-count of the global share, by floor (item, then user).

    Source: our choice.
    """

    counts: Counts
    smoothing: dict[str, list[float]]

    @classmethod
    def fit(cls, data: Interactions) -> Floors:
        """Count train's labels; choose from SMOOTHING by AUC on valid (10 if valid has one class only)."""
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
        """Score pairs of user_id and item_id, [n] each; returns floor -> scores, [n] float64."""
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
    """Return the labels as scores, [n] float64: metrics reach their maximum on these rows."""
    return data.label[rows].astype(np.float64)

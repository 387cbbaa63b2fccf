"""Item and user statistics for label-aware encoders.

Shapes: N rows of an interactions table, Ki items in train.
"""

from __future__ import annotations

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol

ITEM_FEATURES, USER_FEATURES = 2, 3
_ITEM_WEIGHT, _USER_WEIGHT, _LATEST_WEIGHT, _TASTE_WEIGHT = 5.0, 10.0, 5.0, 5.0
FOLDS = 10


def item_features(rows: np.ndarray, likes: np.ndarray, mean: float) -> np.ndarray:
    """Compute like rate and popularity of items, [n, 2] float32.

    Args:
        rows, likes: counts per item in train, [n].
        mean: logit of train's share of likes.

    Returns:
        Log-odds of the smoothed share of likes minus `mean`, and log1p(rows) / 2; zero without rows.
    """
    share = (likes + _ITEM_WEIGHT / (1 + np.exp(-mean))) / (rows + _ITEM_WEIGHT)
    odds = np.where(rows > 0, np.log(share / (1 - share)) - mean, 0)
    return np.stack([odds, np.log1p(rows) / 2], axis=-1).astype(np.float32)


def mean_logit(counts: np.ndarray) -> float:
    """Compute the logit of train's share of likes from rows and likes per item, [2, Ki + 1]."""
    rows, likes = counts.sum(1)
    return float(np.log((likes + 1) / (rows - likes + 1)))


def fold_counts(user: np.ndarray, item: np.ndarray, label: np.ndarray, items: int) -> np.ndarray:
    """Count train's rows and likes per item and fold of users.

    Args:
        user: user_id of train's rows, [n].
        item: their compact item rows, [n].
        label: their labels, [n].
        items: number of compact rows, Ki + 1.

    Returns:
        [FOLDS, 2, Ki + 1] float64.
    """
    # Count in one flat table of fold x item.
    cell = user % FOLDS * items + item
    rows, likes = (np.bincount(cell, weight, minlength=FOLDS * items) for weight in (None, label))
    return np.stack([rows.reshape(FOLDS, items), likes.reshape(FOLDS, items)], axis=1).astype(np.float64)


def row_features(data: Interactions, item: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Compute `item_features` of each row's item, [N, 2], out of fold for rows of train.

    A train row's features contain none of its user's labels, except through the overall mean.

    Args:
        data: the interactions.
        item: compact item rows, [N]; 0 is unknown.
        counts: rows and likes per item in train, [2, Ki + 1].
        folds: from `fold_counts`.
    """
    own = counts[:, item]
    train = data.rows("train")
    # Both [2, n]: subtract the counts of each train row's own fold.
    own[:, train] -= folds[data.user_id[train] % FOLDS, :, item[train]].T
    return item_features(own[0], own[1], mean_logit(counts))


def residuals(data: Interactions, features: np.ndarray, mean: float) -> np.ndarray:
    """Compute each row's label minus the like rate expected from its item, [N] float64."""
    return data.label - 1 / (1 + np.exp(-features[:, 0].astype(np.float64) - mean))


def user_features(residual: np.ndarray, start: np.ndarray, end: np.ndarray, length: int) -> np.ndarray:
    """Compute a user's bias features from rows start .. end - 1, [n, 3] float32; zero without rows.

    They are the mean residuals of all rows and of the latest `length`, shrunk to 0, and log1p(count) / 3.

    Args:
        residual: `residuals` of a table sorted by user and time, [N].
        start: first row of each history, [n].
        end: row after each history, [n].
        length: number of recent rows, L.
    """
    # Sums over ranges of rows are differences of one running sum, [N + 1].
    total = np.concatenate([[0.0], np.cumsum(residual)])
    recent_start, count = np.maximum(start, end - length), end - start
    overall = (total[end] - total[start]) / (count + _USER_WEIGHT)
    recent = (total[end] - total[recent_start]) / (end - recent_start + _LATEST_WEIGHT)
    return np.stack([overall, recent, np.log1p(count) / 3], axis=1).astype(np.float32)


def taste_features(
    residual: np.ndarray, features: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Regress a user's residuals on item features over rows start .. end - 1: slopes and means, [n, 2] each.

    A user with mainstream taste has a positive slope on the like rate, one who prefers niche items a
    negative one on popularity. Slopes are least squares, shrunk to 0; both are float32, zero without rows.

    Args:
        residual: as in `user_features`, [N].
        features: `row_features` of the same table, [N, 2].
        start, end: as in `user_features`, [n].
    """

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
        return sums[end] - sums[start]

    values = features.astype(np.float64)
    mean = total(values) / np.maximum(end - start, 1)[:, None]
    variance = total(values**2) - total(values) * mean
    covariance = total(values * residual[:, None]) - total(residual[:, None]) * mean
    return (covariance / (np.maximum(variance, 0) + _TASTE_WEIGHT)).astype(np.float32), mean.astype(
        np.float32
    )


def first_rows(user: np.ndarray) -> np.ndarray:
    """Find the first row of each row's user in a table sorted by user, [N]."""
    return np.searchsorted(user, user)


def history_end(data: Interactions, rows: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Find where each row's history ends, [n]: at the row itself, or with `train` at the end of train."""
    if protocol == "rolling":
        return rows
    last = data.histories(rows, 1, protocol)[:, 0]
    return np.where(last >= 0, last + 1, rows - data.position[rows])

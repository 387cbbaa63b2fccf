"""Statistics that label-aware encoders read beside vectors: how liked an item, how generous a user was.

Shapes: N rows of an interactions table, Ki items in train.
"""

from __future__ import annotations

import numpy as np

from thinkrec.data.tables import HistoryMode, Interactions

ITEM_FEATURES, PAST_FEATURES = 2, 3
_ITEM_WEIGHT, _PAST_WEIGHT, _LATEST_WEIGHT, _TASTE_WEIGHT = 5.0, 10.0, 5.0, 5.0
FOLDS = 10


def item_features(rows: np.ndarray, likes: np.ndarray, mean: float) -> np.ndarray:
    """How liked and how often met items are, [n, 2] float32.

    Args:
        rows, likes: of the items in train, [n].
        mean: logit of train's share of likes.

    Returns:
        Log-odds of the smoothed share of likes less `mean`, and a logarithm of `rows`; zero without rows.
    """
    share = (likes + _ITEM_WEIGHT / (1 + np.exp(-mean))) / (rows + _ITEM_WEIGHT)
    odds = np.where(rows > 0, np.log(share / (1 - share)) - mean, 0)
    return np.stack([odds, np.log1p(rows) / 2], axis=-1).astype(np.float32)


def mean_logit(counts: np.ndarray) -> float:
    """Logit of train's share of likes, from rows and likes of each item [2, Ki + 1]."""
    rows, likes = counts.sum(1)
    return float(np.log((likes + 1) / (rows - likes + 1)))


def fold_counts(user: np.ndarray, item: np.ndarray, label: np.ndarray, items: int) -> np.ndarray:
    """Count train's rows and likes of each item by the tenth of users that the row's user is in.

    Args:
        user: user_id of train's rows, [n].
        item: their rows of the compact item table, [n].
        label: their labels, [n].
        items: rows of that table, Ki + 1.

    Returns:
        [FOLDS, 2, Ki + 1] float64.
    """
    place = user % FOLDS * items + item
    rows, likes = (np.bincount(place, weight, minlength=FOLDS * items) for weight in (None, label))
    return np.stack([rows.reshape(FOLDS, items), likes.reshape(FOLDS, items)], axis=1).astype(np.float64)


def row_features(data: Interactions, item: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """`item_features` of each row's item, [N, 2]; a train row's leave out what its tenth of users said.

    So no train row's features know its own label, nor any of its user's, but for the mean of all.

    Args:
        data: interactions.
        item: rows of the compact item table, [N]; 0 is unknown.
        counts: rows and likes of each item in train, [2, Ki + 1].
        folds: the same by tenths of users, see `fold_counts`.
    """
    found = counts[:, item]
    train = data.rows("train")
    found[:, train] -= folds[data.user_id[train] % FOLDS, :, item[train]].T
    return item_features(found[0], found[1], mean_logit(counts))


def surprises(data: Interactions, features: np.ndarray, mean: float) -> np.ndarray:
    """Each row's label less the share of likes that its item led to expect, [N] float64."""
    return data.label - 1 / (1 + np.exp(-features[:, 0].astype(np.float64) - mean))


def past_features(surprise: np.ndarray, start: np.ndarray, end: np.ndarray, length: int) -> np.ndarray:
    """What rows start .. end - 1 of a user say of the user's generosity, [n, 3] float32; zero without rows.

    Mean surprise of all of them and of the latest `length`, both shrunk to 0, and a logarithm of the count.

    Args:
        surprise: `surprises` of a table sorted by user and time, [N].
        start: first row of each past, [n].
        end: the row before which it ends, [n].
        length: of the shorter view, L.
    """
    total = np.concatenate([[0.0], np.cumsum(surprise)])
    latest, count = np.maximum(start, end - length), end - start
    every = (total[end] - total[start]) / (count + _PAST_WEIGHT)
    late = (total[end] - total[latest]) / (end - latest + _LATEST_WEIGHT)
    return np.stack([every, late, np.log1p(count) / 3], axis=1).astype(np.float32)


def taste_features(
    surprise: np.ndarray, features: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How rows start .. end - 1 of a user went with their items' features: slopes and means, [n, 2] each.

    A user who likes what most like has a steep slope over how liked items are, one who looks for the
    unknown a negative one over how often they were met. Slopes are least squares, shrunk to 0; both are
    float32, zero without rows.

    Args:
        surprise: as in `past_features`, [N].
        features: `row_features` of the same table, [N, 2].
        start, end: as in `past_features`, [n].
    """

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
        return sums[end] - sums[start]

    values = features.astype(np.float64)
    mean = total(values) / np.maximum(end - start, 1)[:, None]
    spread = total(values**2) - total(values) * mean
    both = total(values * surprise[:, None]) - total(surprise[:, None]) * mean
    return (both / (np.maximum(spread, 0) + _TASTE_WEIGHT)).astype(np.float32), mean.astype(np.float32)


def first_rows(user: np.ndarray) -> np.ndarray:
    """The first row of each row's user, [N], of a table sorted by user."""
    return np.searchsorted(user, user)


def history_end(data: Interactions, rows: np.ndarray, mode: HistoryMode) -> np.ndarray:
    """The row before which each row's history ends, [n]: itself, or with `frozen` the end of train's rows."""
    if mode == "rolling":
        return rows
    last = data.histories(rows, 1, mode)[:, 0]
    return np.where(last >= 0, last + 1, rows - data.position[rows])

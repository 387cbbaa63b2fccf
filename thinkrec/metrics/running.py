"""Controls that know no taste: the user's running share of likes, and labels permuted within users."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol

MINUS_RUNNING_MEAN = "minus_running_mean"
"""A floor of rolling histories; under the other protocols it is the same for all of a user's rows."""
STRENGTH = 5.0
"""Rows of the global share that are added to a user's own (our choice)."""


def train_mean(data: Interactions) -> float:
    """Compute the share of likes in train; .5 without rows."""
    train = data.label[data.split == 0]
    return float(train.mean()) if len(train) else 0.5


def running_mean(
    data: Interactions,
    rows: np.ndarray,
    protocol: Protocol = "rolling",
    ties: bool = True,
    mean: float | None = None,
) -> np.ndarray:
    """Compute the share of likes in each row's history, smoothed towards train's, [n] in 0..1.

    Under rolling histories its negative ranks a user's rows by which of them come late in a run of likes:
    of so many likes, whoever has had more has fewer left. So it has a high UAUC without knowing any taste.

    Args:
        data: the interactions.
        rows: row numbers, [n].
        protocol: what the histories hold.
        ties: whether earlier rows with the row's own timestamp count.
        mean: share of likes in train; None: that of `data`.
    """
    every = np.arange(len(data))
    start = every - data.position
    last = data.histories(rows, 1, protocol)[:, 0]  # [n], -1 for an empty history
    end = np.where(last >= 0, last + 1, start[rows])
    if not ties:
        # The first row of the user with the same timestamp; user and time together are sorted.
        new = np.append(True, (np.diff(data.user_id) != 0) | (np.diff(data.timestamp) != 0))
        first = np.maximum.accumulate(np.where(new, every, 0))
        end = np.minimum(end, first[rows])
    likes = np.append(0, np.cumsum(data.label))
    mean = train_mean(data) if mean is None else mean
    own = likes[end] - likes[start[rows]]
    return (own + STRENGTH * mean) / (end - start[rows] + STRENGTH)


def shuffled(data: Interactions, rows: np.ndarray, seed: int) -> Interactions:
    """Permute the labels of rows within each user.

    Nothing is left to know of them but how many likes each user has; histories hold them so, too.

    Args:
        data: the interactions.
        rows: whose labels are permuted, [n] ascending.
        seed: of the permutation.
    """
    rng, label = np.random.default_rng(seed), data.label.copy()
    # Sorting by (user, chance) gives each user's rows in random order, side by side with themselves in order.
    order = np.lexsort((rng.random(len(rows)), data.user_id[rows]))
    label[rows] = data.label[rows[order]]
    return replace(data, label=label)

"""Groups of users with similar vectors, and their separation."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.preprocessing import StandardScaler

from thinkrec.errors import ConfigError, ModelError

Method = Literal["ward", "kmeans"]
WARD_USERS = 10_000  # 4 s and 1 GB; 20,000 would take 3.4 GB


def standardised(vectors: np.ndarray) -> np.ndarray:
    """Scale every column to mean 0 and deviation 1, constant columns to 0: [U, d] -> [U, d] float64."""
    return StandardScaler().fit_transform(vectors.astype(np.float64))


def group_users(vectors: np.ndarray, method: Method, groups: int, seed: int) -> np.ndarray:
    """Cluster users by their standardised vectors.

    Groups are numbered from 1 by descending size, ties by their first user. Ward's memory is quadratic in the
    number of users: with more than `WARD_USERS` it clusters a sample of that size, and the others join the
    group with the nearest mean.

    Shapes: U users, d columns.

    Args:
        vectors: of the users in train, [U, d].
        method: `ward` (agglomerative, minimum variance) or `kmeans`.
        groups: number of groups, K.
        seed: of the k-means initialisation and of Ward's sample.

    Returns:
        Group of each user, [U] int64, 1 .. K.

    Raises:
        ConfigError: there are more groups than users, or than distinct vectors.
        ModelError: a vector is not finite.

    Source: the release (standardised, Ward); the sample is our choice.
    """
    if not np.isfinite(vectors).all():
        raise ModelError("user vectors hold values that are not finite: run `thinkrec cf` again")
    if groups > len(vectors):
        raise ConfigError(f"cluster.groups is {groups}, but {len(vectors)} users have a vector: lower it")
    if groups == 1:
        return np.ones(len(vectors), dtype=np.int64)
    points = standardised(vectors)
    if (distinct := len(np.unique(points, axis=0))) < groups:
        raise ConfigError(
            f"cluster.groups is {groups}, but users have {distinct} different vectors: lower it"
        )
    if method == "ward":
        return _by_size(_ward(points, groups, seed))
    return _by_size(KMeans(groups, n_init=10, random_state=seed).fit_predict(points))


def _ward(points: np.ndarray, groups: int, seed: int) -> np.ndarray:
    if len(points) <= WARD_USERS:
        return AgglomerativeClustering(groups, linkage="ward").fit_predict(points)
    sample = np.sort(np.random.default_rng(seed).choice(len(points), WARD_USERS, replace=False))
    means = group_means(points[sample], _ward(points[sample], groups, seed) + 1)
    # |x - m|^2 without |x|^2, which is the same for all means of one user.
    return ((means**2).sum(1) - 2 * points @ means.T).argmin(1)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Renumber labels from 1 by descending size, ties by first occurrence."""
    distinct, first, size = np.unique(labels, return_index=True, return_counts=True)
    number = np.empty(len(distinct), dtype=np.int64)
    number[np.lexsort((first, -size))] = np.arange(1, len(distinct) + 1)
    return number[np.searchsorted(distinct, labels)]


def group_means(vectors: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the mean vector of each group: [U, d] and [U] of 1 .. K -> [K, d] float64; no group is empty."""
    count = int(group.max(initial=0))
    return np.stack([vectors[group == number].mean(0, dtype=np.float64) for number in range(1, count + 1)])


def cohens_d(vectors: np.ndarray, group: np.ndarray) -> float | None:
    """Return the separation of groups: Cohen's d along the line between two means, averaged over pairs.

    The standardised users of a pair are projected on the line through the two groups' means; d is the
    difference of the projected means divided by the pooled standard deviation,
    sqrt(((n1-1) v1 + (n2-1) v2) / (n1+n2-2)).

    Args:
        vectors: raw vectors, [U, d].
        group: [U], 1 .. K.

    Returns:
        The mean; None for a single group, or if no pair has a deviation (two users, or identical points).

    Source: Cohen 1988; the paper names the measure only, the projection is our choice.
    """
    points = standardised(vectors)
    pairs = combinations(range(1, int(group.max(initial=0)) + 1), 2)
    values = [_pair_d(points[group == one], points[group == other]) for one, other in pairs]
    defined = [d for d in values if d is not None]
    return float(np.mean(defined)) if defined else None


def _pair_d(one: np.ndarray, other: np.ndarray) -> float | None:
    line = one.mean(0) - other.mean(0)
    distance = float(np.linalg.norm(line))
    freedom = len(one) + len(other) - 2
    if distance == 0:
        return 0.0
    if freedom < 1:
        return None
    spread = [((part @ line / distance).var() * len(part)) for part in (one, other)]
    pooled = float(np.sqrt(sum(spread) / freedom))
    return distance / pooled if pooled > 0 else None

"""Groups of users with alike vectors, and how far they lie apart."""

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
    """Every column with mean 0 and deviation 1; constant columns are 0. [U, d] -> [U, d] float64."""
    return StandardScaler().fit_transform(vectors.astype(np.float64))


def group_users(vectors: np.ndarray, method: Method, groups: int, seed: int) -> np.ndarray:
    """Cut users into groups by their standardised vectors.

    Groups are numbered from 1, the largest first, of equal ones that of the first user. Ward's memory grows
    with the square of the users: of more than `WARD_USERS` it groups a sample of that size, and the others
    join the group with the nearest mean.

    Shapes: U users, d columns.

    Args:
        vectors: of users known to train, [U, d].
        method: `ward` (agglomerative, least variance) or `kmeans`.
        groups: how many, K; 1 puts all into one.
        seed: of k-means' starts and Ward's sample.

    Returns:
        Group of each user, [U] int64, 1 .. K.

    Raises:
        ConfigError: more groups than users, or than users that differ.
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
    found, first, size = np.unique(labels, return_index=True, return_counts=True)
    number = np.empty(len(found), dtype=np.int64)
    number[np.lexsort((first, -size))] = np.arange(1, len(found) + 1)
    return number[np.searchsorted(found, labels)]


def group_means(vectors: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean vector of each group: [U, d] and [U] of 1 .. K -> [K, d] float64; no group may be empty."""
    count = int(group.max(initial=0))
    return np.stack([vectors[group == number].mean(0, dtype=np.float64) for number in range(1, count + 1)])


def cohens_d(vectors: np.ndarray, group: np.ndarray) -> float | None:
    """Separation of groups: mean over pairs of Cohen's d along the line between the two means.

    Users of the pair, standardised, are projected on the line through the two groups' means; d is the
    difference of the projected means over the pooled deviation, sqrt(((n1-1) v1 + (n2-1) v2) / (n1+n2-2)).

    Args:
        vectors: raw vectors, [U, d].
        group: [U], 1 .. K.

    Returns:
        The mean; None for a single group, or when no pair has a deviation (two users, coinciding points).

    Source: Cohen 1988; the paper names the measure only, the projection is our choice.
    """
    points = standardised(vectors)
    pairs = combinations(range(1, int(group.max(initial=0)) + 1), 2)
    found = [_pair_d(points[group == one], points[group == other]) for one, other in pairs]
    known = [d for d in found if d is not None]
    return float(np.mean(known)) if known else None


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

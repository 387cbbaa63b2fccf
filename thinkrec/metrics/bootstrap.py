"""Bootstrap 95 % intervals; resamples draw whole users with replacement, never single rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from thinkrec.metrics.ranking import RankingMetrics

_CHUNK = 20
MIN_USERS = 10
"""Fewest users for a paired interval (our choice): resamples of a few users are too much alike."""
Draws = dict[str, np.ndarray]


def user_counts(users: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each user was drawn, [at most _CHUNK, U] uint8, `draws` rows in all.

    A byte suffices: a user is drawn once on average, and at most U times.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        chunk = np.empty((min(_CHUNK, draws - start), users), dtype=np.uint8)
        for row in chunk:
            row[:] = np.bincount(rng.integers(0, users, size=users, dtype=np.int32), minlength=users)
        yield chunk


@dataclass(frozen=True)
class _Pairs:
    """Rows sorted once for the AUC of all resamples. Shapes: P positive, Q negative, T tied positive rows.

    positive, negative: user index of each row, by ascending score, [P], [Q]; below: count of negatives that
    score below each positive, [P]; tied: positives that tie with a negative, [T]; up_to: count of negatives
    that score at most as high as those, [T].
    """

    positive: np.ndarray
    negative: np.ndarray
    below: np.ndarray
    tied: np.ndarray
    up_to: np.ndarray

    @classmethod
    def of(cls, index: np.ndarray, label: np.ndarray, score: np.ndarray) -> _Pairs:
        order = np.argsort(score, kind="stable")
        index, score, liked = index[order], score[order], label[order] == 1
        high, low = score[liked], score[~liked]
        # Positions of the positives' scores among the sorted negatives, [P]: left of ties and right of them.
        below, up_to = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
        tied = np.flatnonzero(below < up_to)
        return cls(index[liked], index[~liked], below, tied, up_to[tied])

    def auc(self, counts: np.ndarray) -> float:
        """Compute the AUC with user u's rows weighted by counts[u] (uint8); NaN if a class is missing.

        Integer sums are exact and, memory being the bottleneck, take half the time of floats.
        """
        # mass[j]: total weight of the j lowest negatives, [Q + 1]; gathered at each positive below.
        mass = np.zeros(len(self.negative) + 1, dtype=np.int64)
        np.cumsum(counts.take(self.negative), dtype=np.int64, out=mass[1:])
        weight = counts.take(self.positive).astype(np.float64)
        pairs = weight.sum() * mass[-1]
        under = mass.take(self.below)
        won = weight @ under
        if len(self.tied):
            won += weight[self.tied] @ (mass.take(self.up_to) - under[self.tied]) / 2
        return float(won / pairs) if pairs else float("nan")


@dataclass(frozen=True)
class _UserMeans:
    """Per-user metrics as one matrix, so that means are a matrix product. Shapes: U users, M metrics.

    names: of the metrics; sums: [U, 2 M], values (0 if undefined), then whether defined (0 or 1).
    """

    names: tuple[str, ...]
    sums: np.ndarray

    @classmethod
    def of(cls, metrics: RankingMetrics) -> _UserMeans:
        values = np.stack(list(metrics.per_user.values()), axis=1)
        defined = ~np.isnan(values)
        return cls(tuple(metrics.per_user), np.hstack([np.where(defined, values, 0.0), defined]))

    def means(self, counts: np.ndarray) -> Draws:
        """Average over the drawn users, [chunk] per metric, given counts [chunk, U]; NaN if undefined."""
        total, count = np.split(counts @ self.sums, 2, axis=1)
        mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        return dict(zip(self.names, mean.T, strict=True))


def bootstrap(
    user: np.ndarray,
    label: np.ndarray,
    scores: Mapping[str, np.ndarray],
    metrics: Mapping[str, RankingMetrics],
    draws: int,
    seed: int,
) -> dict[str, Draws]:
    """Resample users and compute all metrics of all systems, with the same draws for all systems.

    Systems with equal scores, such as one under two protocols that reads no history, are computed once.

    Shapes: N rows, U users, R draws.

    Args:
        user: user ids, [N].
        label: 0 or 1, [N].
        scores: scores per system, [N] each.
        metrics: `ranking_metrics` per system, of the same rows.
        draws: number of resamples, R.
        seed: random seed; the same seed and users give the same draws.

    Returns:
        system -> metric -> values, [R]; NaN where undefined.

    Source: paired bootstrap over users, our choice.
    """
    _, index = np.unique(user, return_inverse=True)
    users = int(index.max(initial=-1)) + 1
    first: dict[bytes, str] = {}
    equal = {system: first.setdefault(score.tobytes(), system) for system, score in scores.items()}
    parts: dict[str, list[Draws]] = {system: [] for system in first.values()}
    pairs = {system: _Pairs.of(index, label, scores[system]) for system in parts}
    by_user = {system: _UserMeans.of(metrics[system]) for system in parts}
    for counts in user_counts(users, draws, seed) if users else ():
        weights = counts.astype(np.float64)
        for system, own in pairs.items():
            auc = np.array([own.auc(row) for row in counts])
            parts[system].append({"auc": auc, **by_user[system].means(weights)})
    drawn = {
        system: {name: np.concatenate([chunk[name] for chunk in own]) for name in own[0]} if own else {}
        for system, own in parts.items()
    }
    return {system: drawn[other] for system, other in equal.items()}


def interval(draws: np.ndarray) -> tuple[float, float] | None:
    """Compute the 95 % percentile interval of the defined draws; None if there are none."""
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def mean_interval(total: np.ndarray, rows: np.ndarray, draws: int, seed: int) -> tuple[float, float] | None:
    """Compute the 95 % interval of a mean over rows, given sums [U] and row counts [U] per user."""
    drawn = [counts @ total / (counts @ rows) for counts in user_counts(len(total), draws, seed)]
    return interval(np.concatenate(drawn)) if drawn else None


def paired_difference(
    a: RankingMetrics, b: RankingMetrics, draws_a: Draws, draws_b: Draws
) -> dict[str, dict[str, float | None]]:
    """Compute `a` minus `b` and its paired 95 % interval, by metric.

    Both draws must come from one `bootstrap` call. All three values are None if the metric is undefined;
    the interval is None if fewer than MIN_USERS users define it.
    """
    return {
        name: difference(
            a.values[name], b.values[name], users_of(a, name), draws_a.get(name), draws_b.get(name)
        )
        for name in a.values
    }


def users_of(metrics: RankingMetrics, name: str) -> int:
    """Count the users who define a metric: all for AUC, else those with a value of their own."""
    own = metrics.per_user.get(name)
    return len(metrics.user) if own is None else int((~np.isnan(own)).sum())


def difference(
    a: float | None, b: float | None, users: int, draws_a: np.ndarray | None, draws_b: np.ndarray | None
) -> dict[str, float | None]:
    """Compute value a minus value b and the interval of their draws; see `paired_difference`."""
    if a is None or b is None or draws_a is None or draws_b is None:
        return {"difference": None, "low": None, "high": None}
    spread = interval(draws_a - draws_b) if users >= MIN_USERS else None
    low, high = spread or (None, None)
    return {"difference": a - b, "low": low, "high": high}

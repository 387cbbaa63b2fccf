"""95 % intervals by bootstrap over users: whole users are drawn with replacement, never single rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from thinkrec.metrics.ranking import RankingMetrics

_CHUNK = 20
FEWEST_USERS = 10
"""Users below which no paired interval is given (our choice): draws of a few users repeat each other."""
Draws = dict[str, np.ndarray]


def user_counts(users: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each user was drawn, [at most _CHUNK, U] uint8, `draws` rows in all.

    A byte is enough: of up to 255 users none is drawn more often, and of more users none ever will be, since
    a user is drawn once on average.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        chunk = np.empty((min(_CHUNK, draws - start), users), dtype=np.uint8)
        for row in chunk:
            row[:] = np.bincount(rng.integers(0, users, size=users, dtype=np.int32), minlength=users)
        yield chunk


@dataclass(frozen=True)
class _Pairs:
    """What the AUC of a resample needs, sorted once. Shapes: P positive rows, Q negative rows, T tied ones.

    positive, negative: index of each row's user, by ascending score, [P], [Q]; below: negative rows that
    score lower than a positive row, [P]; tied: positive rows that share a negative row's score, [T]; up_to:
    negative rows that score lower than those or the same, [T].
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
        below, up_to = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
        tied = np.flatnonzero(below < up_to)
        return cls(index[liked], index[~liked], below, tied, up_to[tied])

    def auc(self, counts: np.ndarray) -> float:
        """AUC when user u's rows count counts[u] times (uint8); NaN when a class is missing.

        All sums are exact. Counts are bytes and their sums integers because the time goes into memory: this
        takes half the time of floats.
        """
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
    """Per-user metrics as one matrix, so that a resample's means are a product. Shapes: U users, M metrics.

    names: of the metrics; sums: [U, 2 M], values (0 where undefined), then 1 where defined.
    """

    names: tuple[str, ...]
    sums: np.ndarray

    @classmethod
    def of(cls, metrics: RankingMetrics) -> _UserMeans:
        values = np.stack(list(metrics.per_user.values()), axis=1)
        defined = ~np.isnan(values)
        return cls(tuple(metrics.per_user), np.hstack([np.where(defined, values, 0.0), defined]))

    def means(self, counts: np.ndarray) -> Draws:
        """Means over the drawn users, [chunk] each, of counts [chunk, U] float64; NaN where undefined."""
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
    """Resample users and compute every metric of every system, all systems on the same draws.

    Shapes: N rows, U users, R draws.

    Args:
        user: user ids, [N].
        label: 0 or 1, [N].
        scores: each system's scores of these rows, [N] each.
        metrics: each system's `ranking_metrics` of these rows.
        draws: resamples R.
        seed: the same seed and users give the same draws.

    Returns:
        system -> metric -> [R] values; NaN in draws where the metric is undefined.

    Source: paired bootstrap over users, our choice.
    """
    _, index = np.unique(user, return_inverse=True)
    users = int(index.max(initial=-1)) + 1
    parts: dict[str, list[Draws]] = {system: [] for system in scores}
    pairs = {system: _Pairs.of(index, label, score) for system, score in scores.items()}
    by_user = {system: _UserMeans.of(metrics[system]) for system in scores}
    for counts in user_counts(users, draws, seed) if users else ():
        weights = counts.astype(np.float64)
        for system, each in pairs.items():
            auc = np.array([each.auc(row) for row in counts])
            parts[system].append({"auc": auc, **by_user[system].means(weights)})
    return {
        system: {name: np.concatenate([chunk[name] for chunk in found]) for name in found[0]} if found else {}
        for system, found in parts.items()
    }


def interval(draws: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of the draws (percentile method); undefined draws are left out; None without any."""
    kept = draws[~np.isnan(draws)]
    if len(kept) == 0:
        return None
    low, high = np.percentile(kept, [2.5, 97.5])
    return float(low), float(high)


def mean_interval(total: np.ndarray, rows: np.ndarray, draws: int, seed: int) -> tuple[float, float] | None:
    """95 % interval of a mean over rows, of each user the sum of values [U] and the count of rows [U]."""
    drawn = [counts @ total / (counts @ rows) for counts in user_counts(len(total), draws, seed)]
    return interval(np.concatenate(drawn)) if drawn else None


def paired_difference(
    a: RankingMetrics, b: RankingMetrics, draws_a: Draws, draws_b: Draws
) -> dict[str, dict[str, float | None]]:
    """How much better `a` is than `b`, by metric: difference, and its 95 % interval over the same draws.

    Both must come from one `bootstrap` call. Where a metric is undefined all three are None, and where fewer
    than FEWEST_USERS users define it the interval is.
    """
    return {
        name: difference(
            a.values[name], b.values[name], users_of(a, name), draws_a.get(name), draws_b.get(name)
        )
        for name in a.values
    }


def users_of(metrics: RankingMetrics, name: str) -> int:
    """How many users define a metric: all who have rows for AUC, else those who have a value of their own."""
    own = metrics.per_user.get(name)
    return len(metrics.user) if own is None else int((~np.isnan(own)).sum())


def difference(
    a: float | None, b: float | None, users: int, draws_a: np.ndarray | None, draws_b: np.ndarray | None
) -> dict[str, float | None]:
    """Value a minus value b, and the interval of the draws' differences, as `paired_difference` states."""
    if a is None or b is None or draws_a is None or draws_b is None:
        return {"difference": None, "low": None, "high": None}
    spread = interval(draws_a - draws_b) if users >= FEWEST_USERS else None
    low, high = spread or (None, None)
    return {"difference": a - b, "low": low, "high": high}

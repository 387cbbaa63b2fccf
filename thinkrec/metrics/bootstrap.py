"""95 % intervals by bootstrap over users: whole users are drawn with replacement, never single rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from thinkrec.metrics.ranking import RankingMetrics

_CHUNK = 50
Draws = dict[str, np.ndarray]


def user_counts(users: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each user was drawn, [at most _CHUNK, U] float64, `draws` rows in all."""
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        chunk = [
            np.bincount(rng.integers(0, users, size=users), minlength=users)
            for _ in range(min(_CHUNK, draws - start))
        ]
        yield np.stack(chunk).astype(np.float64)


@dataclass(frozen=True)
class _Pairs:
    """What the AUC of a resample needs, sorted once. Shapes: P positive rows, Q negative rows.

    positive, negative: index of each row's user, by ascending score, [P], [Q]; below, up_to: negative rows
    that score lower than a positive row, and lower or equal, [P].
    """

    positive: np.ndarray
    negative: np.ndarray
    below: np.ndarray
    up_to: np.ndarray

    @classmethod
    def of(cls, index: np.ndarray, label: np.ndarray, score: np.ndarray) -> _Pairs:
        order = np.argsort(score, kind="stable")
        index, score, liked = index[order], score[order], label[order] == 1
        high, low = score[liked], score[~liked]
        return cls(
            index[liked],
            index[~liked],
            np.searchsorted(low, high, "left"),
            np.searchsorted(low, high, "right"),
        )

    def auc(self, counts: np.ndarray) -> float:
        """AUC when user u's rows count counts[u] times; NaN when a class is missing. All sums are exact."""
        mass = np.concatenate([[0.0], np.cumsum(counts[self.negative])])
        weight = counts[self.positive]
        pairs = weight.sum() * mass[-1]
        won = weight @ mass[self.below] + weight @ mass[self.up_to]
        return float(won / 2 / pairs) if pairs else float("nan")


def _means(metrics: Mapping[str, RankingMetrics], counts: np.ndarray) -> dict[str, Draws]:
    """Means over the drawn users of every system's per-user metrics, [chunk] each; NaN where undefined."""
    found: dict[str, Draws] = {}
    for system, each in metrics.items():
        values = np.stack(list(each.per_user.values()), axis=1)
        defined = ~np.isnan(values)
        total = counts @ np.where(defined, values, 0.0)
        count = counts @ defined.astype(np.float64)
        mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        found[system] = dict(zip(each.per_user, mean.T, strict=True))
    return found


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
    for counts in user_counts(users, draws, seed) if users else ():
        means = _means(metrics, counts)
        for system, each in pairs.items():
            auc = np.array([each.auc(row) for row in counts])
            parts[system].append({"auc": auc, **means[system]})
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


def paired_difference(
    a: RankingMetrics, b: RankingMetrics, draws_a: Draws, draws_b: Draws
) -> dict[str, dict[str, float | None]]:
    """How much better `a` is than `b`, by metric: difference, and its 95 % interval over the same draws.

    Both must come from one `bootstrap` call; where a metric is undefined its three values are None.
    """
    found: dict[str, dict[str, float | None]] = {}
    for name, first in a.values.items():
        second = b.values[name]
        spread = interval(draws_a[name] - draws_b[name]) if name in draws_a else None
        if first is None or second is None or spread is None:
            found[name] = {"difference": None, "low": None, "high": None}
        else:
            found[name] = {"difference": first - second, "low": spread[0], "high": spread[1]}
    return found

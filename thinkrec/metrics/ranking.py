"""AUC, UAUC, NDCG@k and MAP@k, vectorised: two sorts, then sums over runs of tied scores.

Source: ThinkRec, section 4.1; populations and the treatment of ties: our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from thinkrec.errors import DataError, ModelError

K = 5


@dataclass(frozen=True)
class RankingMetrics:
    """Ranking metrics of a set of rows, per user and overall.

    Shapes: U users, in ascending order of ids.

    Args:
        user: user ids, [U].
        rows: number of rows per user, [U] int64.
        positives: number of rows with label 1 per user, [U] int64.
        per_user: metric name -> values per user, [U]; NaN for users who do not define the metric.
        tied_rows: number of rows that tie with another row of the same user.
        auc: AUC over all rows, None if they have one class only.
    """

    user: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    per_user: dict[str, np.ndarray]
    tied_rows: int
    auc: float | None

    @cached_property
    def values(self) -> dict[str, float | None]:
        """All metrics by name; None if undefined (see `reasons`)."""
        means = {name: _mean(each) for name, each in self.per_user.items()}
        return {"auc": self.auc, **means}

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Reasons of the metrics that are None, by metric name."""
        rows, positives = int(self.rows.sum()), int(self.positives.sum())
        if rows == 0:
            return dict.fromkeys(self.values, "no rows")
        why = {
            "users": f"all {rows} labels are {1 if positives else 0}",
            "users_ranked": "no user has two rows or more",
            "users_uauc": "no user has rows of both classes",
        }
        metrics = zip(self.values.items(), METRICS.values(), strict=True)
        return {name: why[metric.users] for (name, value), metric in metrics if value is None}

    @cached_property
    def population(self) -> dict[str, int]:
        """Counts behind the metrics: rows, positives, users, users of NDCG and MAP, users of UAUC, ties."""
        return {
            "rows": int(self.rows.sum()),
            "positives": int(self.positives.sum()),
            "users": len(self.user),
            "users_ranked": int((self.rows > 1).sum()),
            "users_uauc": int((~np.isnan(self.per_user["uauc"])).sum()),
            "tied_rows": self.tied_rows,
        }


def rounded(value: float | None) -> float | None:
    """Round to 8 digits, so that committed JSON files do not differ in the last bits between machines."""
    return None if value is None else round(value, 8)


def _mean(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def check_rows(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> None:
    """Check that labels are 0 or 1 and scores are finite.

    Raises:
        ValueError: the arrays differ in length.
        DataError: a label is neither 0 nor 1; names the first such row, from 0.
        ModelError: a score is not finite; names the first such row.
    """
    if not len(user) == len(label) == len(score):
        raise ValueError(
            f"{len(user)} users, {len(label)} labels and {len(score)} scores: lengths must agree"
        )
    bad = np.flatnonzero((label != 0) & (label != 1))
    if len(bad):
        row = bad[0]
        raise DataError(f"row {row} (user {user[row]}): label is {label[row]}, must be 0 or 1")
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        row, others = bad[0], f", and {len(bad) - 1} more rows" if len(bad) > 1 else ""
        raise ModelError(
            f"row {row} (user {user[row]}): score is {score[row]}{others}; a score must be a finite number: "
            "look for a diverged training or a system that skips rows"
        )


def _levels(score: np.ndarray) -> tuple[np.ndarray, int]:
    """Rank the distinct scores, 0 for the highest: level of each row [n], number of levels."""
    order = np.argsort(score)
    ascending = score[order]
    step = np.empty(len(score), dtype=np.int64)
    step[:1] = 0
    np.cumsum(ascending[1:] != ascending[:-1], out=step[1:])
    count = int(step[-1]) + 1 if len(step) else 0
    # Scatter the ranks, reversed, from score order back to row order.
    level = np.empty_like(step)
    level[order] = count - 1 - step
    return level, count


def _pooled_auc(level: np.ndarray, count: int, label: np.ndarray) -> float | None:
    rows = np.bincount(level, minlength=count)
    positive = np.bincount(level, weights=label, minlength=count)
    negative = rows - positive
    pairs = positive.sum() * negative.sum()
    below = negative.sum() - np.cumsum(negative)
    return float(np.sum(positive * (below + negative / 2)) / pairs) if pairs else None


def auc(label: np.ndarray, score: np.ndarray) -> float | None:
    """Compute the area under the ROC curve over all rows; ties count one half; None with one class."""
    level, count = _levels(score)
    return _pooled_auc(level, count, label)


@dataclass(frozen=True)
class _Runs:
    """Runs of tied scores within a user, best first. Shapes: G runs, U users.

    user: user index, [G]; rows, positives: counts of the run, [G]; rows_before, positives_before: counts of
    the user's rows with higher scores, [G].
    """

    user: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    rows_before: np.ndarray
    positives_before: np.ndarray

    def sum_by_user(self, values: np.ndarray, users: int) -> np.ndarray:
        return np.bincount(self.user, weights=values, minlength=users)


def _runs(index: np.ndarray, level: np.ndarray, levels: int, label: np.ndarray) -> _Runs:
    # User, level and label packed into one integer: a plain sort replaces a lexsort.
    key = np.sort((index * levels + level) * 2 + label)
    run, sorted_label = key >> 1, key & 1
    start = np.flatnonzero(np.diff(run, prepend=-1))
    rows = np.diff(start, append=len(run))
    positives = np.add.reduceat(sorted_label, start)
    user = run[start] // levels
    # `first` [U] is each user's first run; subtracting its offset restarts the running counts per user.
    first = np.flatnonzero(np.diff(user, prepend=-1))
    seen = np.cumsum(positives) - positives
    return _Runs(user, rows, positives, start - start[first][user], seen - seen[first][user])


def discounts(k: int) -> np.ndarray:
    """Compute the discounts 1 / log2(1 + rank) of DCG@k for ranks 1 to k, [k]."""
    weights: np.ndarray = 1 / np.log2(1 + np.arange(1, k + 1))
    return weights


def range_sum(weights: np.ndarray, before: np.ndarray | int, count: np.ndarray) -> np.ndarray:
    """Sum the weights of ranks before + 1 .. before + count; ranks beyond `weights` weigh 0."""
    total, k = np.concatenate([[0], np.cumsum(weights)]), len(weights)
    sums: np.ndarray = total[np.minimum(before + count, k)] - total[np.minimum(before, k)]
    return sums


def _user_auc(runs: _Runs, rows: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    negatives = rows - positives
    own = runs.rows - runs.positives
    below = negatives[runs.user] - (runs.rows_before - runs.positives_before) - own
    won = runs.sum_by_user(runs.positives * (below + own / 2), len(rows))
    pairs = positives * negatives
    return np.divide(won, pairs, out=np.full(len(rows), np.nan), where=pairs > 0)


def _user_ndcg(runs: _Runs, rows: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    # Each rank of a run has the expected gain positives / rows.
    gained = range_sum(discounts(k), runs.rows_before, runs.rows)
    dcg = runs.sum_by_user(runs.positives / runs.rows * gained, len(rows))
    ideal = range_sum(discounts(k), 0, positives)
    return np.divide(dcg, ideal, out=np.where(rows > 1, 0.0, np.nan), where=(ideal > 0) & (rows > 1))


def _user_map(runs: _Runs, rows: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    """Compute the expected sum of precisions at hits within k, divided by the user's positives.

    In a run of n rows with m positives, after a rows with p positives, rank t is a hit with probability
    m / n, and then has p + 1 + (t - 1)(m - 1)/(n - 1) expected hits among a + t rows. Summed over
    t = 1..T with H = 1/(a+1) + ... + 1/(a+T):  m/n * ((p + 1) H + (m - 1)/(n - 1) (T - (a + 1) H)).
    """
    reach = np.minimum(runs.rows_before + runs.rows, k) - np.minimum(runs.rows_before, k)
    h = range_sum(1 / np.arange(1, k + 1), runs.rows_before, runs.rows)
    others = (runs.positives - 1) / np.maximum(runs.rows - 1, 1)
    precision = (runs.positives_before + 1) * h + others * (reach - (runs.rows_before + 1) * h)
    hits = runs.sum_by_user(runs.positives / runs.rows * precision, len(rows))
    return np.divide(hits, positives, out=np.where(rows > 1, 0.0, np.nan), where=(positives > 0) & (rows > 1))


@dataclass(frozen=True)
class Metric:
    """A ranking metric.

    Args:
        users: users who define it, as `RankingMetrics.population` counts them.
        of_users: (runs of tied scores; rows and positives per user, [U]; k) -> values per user, [U], NaN if
            undefined; the metric is their mean. None for AUC, which pools all rows.
    """

    users: Literal["users", "users_ranked", "users_uauc"]
    of_users: Callable[[_Runs, np.ndarray, np.ndarray, int], np.ndarray] | None = None


METRICS: dict[str, Metric] = {
    "auc": Metric("users"),
    "uauc": Metric("users_uauc", _user_auc),
    f"ndcg@{K}": Metric("users_ranked", _user_ndcg),
    f"map@{K}": Metric("users_ranked", _user_map),
}
"""All metrics by name, in the order of all tables. To add a metric, add an entry; @K in its name is its
cut-off."""


def ranking_metrics(user: np.ndarray, label: np.ndarray, score: np.ndarray, k: int = K) -> RankingMetrics:
    """Compute all METRICS.

    Ties contribute their expectation over all orders, in closed form. Degenerate cases: users with one row
    count in AUC only; users with one class are left out of UAUC, but not of NDCG and MAP (0 without
    positives); a metric that no user defines is None with a reason. Of fewer than k rows all count.

    Shapes: N rows.

    Args:
        user: user ids, [N].
        label: 0 or 1, [N].
        score: finite numbers, higher is better, [N].
        k: cut-off of NDCG and MAP.

    Raises:
        ValueError: lengths differ, or k is below 1.
        DataError: a label is neither 0 nor 1; names the row.
        ModelError: a score is not finite; names the row.

    Source: ThinkRec, section 4.1; expectation over ties: our choice.
    """
    if k < 1:
        raise ValueError(f"k is {k}, must be at least 1")
    check_rows(user, label, score)
    users, index, rows = np.unique(user, return_inverse=True, return_counts=True)
    label = label.astype(np.int64)
    positives = np.bincount(index, weights=label, minlength=len(users)).astype(np.int64)
    level, levels = _levels(score)
    runs = _runs(index, level, levels, label)
    return RankingMetrics(
        user=users,
        rows=rows,
        positives=positives,
        per_user={
            name.replace(f"@{K}", f"@{k}"): metric.of_users(runs, rows, positives, k)
            for name, metric in METRICS.items()
            if metric.of_users
        },
        tied_rows=int(runs.rows[runs.rows > 1].sum()),
        auc=_pooled_auc(level, levels, label),
    )

"""AUC, UAUC, NDCG@k and MAP@k as array programs: two sorts, then sums over runs of equal scores.

Source of the definitions: ThinkRec, section 4.1, with the populations and the treatment of equal scores
stated by this project's specification ("evaluate").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from thinkrec.errors import DataError, ModelError

K = 5
METRICS = ("auc", "uauc", f"ndcg@{K}", f"map@{K}")


@dataclass(frozen=True)
class RankingMetrics:
    """Ranking metrics of one set of rows, for each user and over all.

    Shapes: U users, in ascending order of their ids.

    Args:
        user: user ids, [U].
        rows: rows of each user, [U] int64.
        positives: rows with label 1 of each user, [U] int64.
        uauc: each user's own AUC, [U]; NaN for users with one row or one class.
        ndcg: NDCG@k, [U]; NaN for users with one row, 0 for those without a positive.
        map: MAP@k, [U]; NaN and 0 as for ndcg.
        tied_rows: rows whose score another row of the same user shares.
        auc: AUC over all rows, or None when the rows have one class.
        k: cut-off of NDCG and MAP.
    """

    user: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    uauc: np.ndarray
    ndcg: np.ndarray
    map: np.ndarray
    tied_rows: int
    auc: float | None
    k: int = K

    @cached_property
    def per_user(self) -> dict[str, np.ndarray]:
        """Each user's value of the metrics that are means over users, by metric name, [U] each."""
        return {"uauc": self.uauc, f"ndcg@{self.k}": self.ndcg, f"map@{self.k}": self.map}

    @cached_property
    def values(self) -> dict[str, float | None]:
        """The four metrics by name; None where undefined (`reasons` says why)."""
        means = {name: _mean(each) for name, each in self.per_user.items()}
        return {"auc": self.auc, **means}

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why a metric is None, by metric name."""
        rows, positives = int(self.rows.sum()), int(self.positives.sum())
        if rows == 0:
            return dict.fromkeys(self.values, "no rows")
        one_class = f"all {rows} labels are {1 if positives else 0}"
        no_rank = "no user has two rows or more"
        why = {"auc": one_class, "uauc": "no user has rows of both classes"}
        return {name: why.get(name, no_rank) for name, value in self.values.items() if value is None}

    @cached_property
    def population(self) -> dict[str, int]:
        """Counts behind the metrics: rows, positives, users, users of NDCG and MAP, users of UAUC, ties."""
        return {
            "rows": int(self.rows.sum()),
            "positives": int(self.positives.sum()),
            "users": len(self.user),
            "users_ranked": int((self.rows > 1).sum()),
            "users_uauc": int((~np.isnan(self.uauc)).sum()),
            "tied_rows": self.tied_rows,
        }


def rounded(value: float | None) -> float | None:
    """To 8 digits: sums may differ in the last bits between machines; committed JSON files should not."""
    return None if value is None else round(value, 8)


def _mean(values: np.ndarray) -> float | None:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else None


def check_rows(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> None:
    """Check that labels are 0 or 1 and scores are numbers.

    Raises:
        ValueError: the arrays differ in length.
        DataError: a label or a score can't be used; it names the first such row (counted from 0).
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
        row, more = bad[0], f", and {len(bad) - 1} more rows" if len(bad) > 1 else ""
        raise ModelError(
            f"row {row} (user {user[row]}): score is {score[row]}{more}; a score must be a finite number: "
            "look for a diverged training or a system that skips rows"
        )


def _levels(score: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the distinct scores from the highest, 0, downwards: level of each row [n], count of levels."""
    order = np.argsort(score)
    ascending = score[order]
    step = np.empty(len(score), dtype=np.int64)
    step[:1] = 0
    np.cumsum(ascending[1:] != ascending[:-1], out=step[1:])
    count = int(step[-1]) + 1 if len(step) else 0
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
    """Area under the ROC curve over all rows; a pair of equal scores counts one half; None with one class."""
    level, count = _levels(score)
    return _pooled_auc(level, count, label)


@dataclass(frozen=True)
class _Runs:
    """Runs of equal scores within a user, best first. Shapes: G runs, U users.

    user: the user's index, [G]; rows, positives: of the run, [G]; rows_before, positives_before: of the
    same user with higher scores, [G].
    """

    user: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    rows_before: np.ndarray
    positives_before: np.ndarray

    def sum_by_user(self, values: np.ndarray, users: int) -> np.ndarray:
        return np.bincount(self.user, weights=values, minlength=users)


def _runs(index: np.ndarray, level: np.ndarray, levels: int, label: np.ndarray) -> _Runs:
    # User, level and label share one integer, so that a plain sort replaces a three-key one.
    key = np.sort((index * levels + level) * 2 + label)
    run, sorted_label = key >> 1, key & 1
    start = np.flatnonzero(np.diff(run, prepend=-1))
    rows = np.diff(start, append=len(run))
    positives = np.add.reduceat(sorted_label, start)
    user = run[start] // levels
    first = np.flatnonzero(np.diff(user, prepend=-1))
    seen = np.cumsum(positives) - positives
    return _Runs(user, rows, positives, start - start[first][user], seen - seen[first][user])


def _user_auc(runs: _Runs, rows: np.ndarray, positives: np.ndarray) -> np.ndarray:
    negatives = rows - positives
    own = runs.rows - runs.positives
    below = negatives[runs.user] - (runs.rows_before - runs.positives_before) - own
    won = runs.sum_by_user(runs.positives * (below + own / 2), len(rows))
    pairs = positives * negatives
    return np.divide(won, pairs, out=np.full(len(rows), np.nan), where=pairs > 0)


def _user_ndcg(runs: _Runs, rows: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    # gained[i]: sum of the discounts of the first i places; a place in a run has gain positives / rows.
    gained = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    start, end = np.minimum(runs.rows_before, k), np.minimum(runs.rows_before + runs.rows, k)
    dcg = runs.sum_by_user(runs.positives / runs.rows * (gained[end] - gained[start]), len(rows))
    ideal = gained[np.minimum(positives, k)]
    return np.divide(dcg, ideal, out=np.where(rows > 1, 0.0, np.nan), where=(ideal > 0) & (rows > 1))


def _user_map(runs: _Runs, rows: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    """Expected sum of precisions at the hits within k, over all positives of the user.

    In a run of n rows with m positives, after a rows with p positives, place t has a hit with probability
    m / n, and then on average p + 1 + (t - 1)(m - 1)/(n - 1) hits up to there, of a + t rows. Summed over
    t = 1..T with H = 1/(a+1) + ... + 1/(a+T):  m/n * ((p + 1) H + (m - 1)/(n - 1) (T - (a + 1) H)).
    """
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, k + 1))])
    start, end = np.minimum(runs.rows_before, k), np.minimum(runs.rows_before + runs.rows, k)
    reach, h = end - start, harmonic[end] - harmonic[start]
    others = (runs.positives - 1) / np.maximum(runs.rows - 1, 1)
    precision = (runs.positives_before + 1) * h + others * (reach - (runs.rows_before + 1) * h)
    hits = runs.sum_by_user(runs.positives / runs.rows * precision, len(rows))
    return np.divide(hits, positives, out=np.where(rows > 1, 0.0, np.nan), where=(positives > 0) & (rows > 1))


def ranking_metrics(user: np.ndarray, label: np.ndarray, score: np.ndarray, k: int = K) -> RankingMetrics:
    """Compute AUC, UAUC, NDCG@k and MAP@k.

    Equal scores count with their expected value over all orders, in closed form. Degenerate cases: users
    with one row count in AUC only; users with one class not in UAUC, but in NDCG and MAP (0 without a
    positive); a metric that no user defines is None with a reason. Fewer than k rows are all looked at.

    Shapes: N rows.

    Args:
        user: user ids, [N].
        label: 0 or 1, [N].
        score: finite numbers, higher is better, [N].
        k: cut-off of NDCG and MAP.

    Raises:
        ValueError: lengths differ, or k is below 1.
        DataError: a label is neither 0 nor 1, or a score is no finite number; names the row.

    Source: definitions of ThinkRec section 4.1; expectation over ties: our choice.
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
        uauc=_user_auc(runs, rows, positives),
        ndcg=_user_ndcg(runs, rows, positives, k),
        map=_user_map(runs, rows, positives, k),
        tied_rows=int(runs.rows[runs.rows > 1].sum()),
        auc=_pooled_auc(level, levels, label),
        k=k,
    )

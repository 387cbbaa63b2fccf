"""Ranking metrics and their intervals: vectorised code against loops over users and draws.

Usage: OMP_NUM_THREADS=1 python benchmarks/ranking_metrics.py

First all metrics of 1,000,000 rows and 60,000 users, then all metrics with 95 % intervals by 1,000
bootstrap draws on 145,000 rows of 40,000 users. The loops are straightforward scikit-learn: `roc_auc_score`
and a sort per user, and per draw the rows of the drawn users concatenated. They are measured on the first
users and draws and scaled up; all values are checked to be equal.
"""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable
from math import log2
from typing import TypeVar

import numpy as np
from sklearn.metrics import roc_auc_score

from thinkrec.metrics.bootstrap import Draws, bootstrap, interval, user_counts
from thinkrec.metrics.ranking import METRICS, K, ranking_metrics

Result = TypeVar("Result")
Grouped = tuple[list[np.ndarray], list[np.ndarray]]
ROWS, USERS, LOOPED = 1_000_000, 60_000, 300
BOOTSTRAP_ROWS, BOOTSTRAP_USERS, DRAWS, LOOPED_DRAWS = 145_000, 40_000, 1000, 5


def timed(call: Callable[[], Result], repeats: int = 1) -> tuple[float, Result]:
    """Measure the fastest of some runs, in seconds; return it and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def rows(count: int, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw random user ids, labels and scores that correlate with labels; every user has a row."""
    rng = np.random.default_rng(0)
    user = np.concatenate([np.arange(1, users + 1), rng.integers(1, users + 1, count - users)])
    label = (rng.random(count) < 0.5).astype(np.int64)
    return user, label, (rng.normal(size=count) + label).astype(np.float32)


def one_user(label: np.ndarray, score: np.ndarray) -> tuple[float, float, float]:
    """Compute UAUC, NDCG and MAP of one user without ties; NaN if undefined."""
    if len(label) < 2:
        return np.nan, np.nan, np.nan
    uauc = roc_auc_score(label, score) if 0 < label.sum() < len(label) else np.nan
    if not label.sum():
        return uauc, 0.0, 0.0
    best = label[np.argsort(-score)][:K]
    ideal = np.sort(label)[::-1][:K]
    ndcg = sum(x / log2(i + 2) for i, x in enumerate(best)) / sum(
        x / log2(i + 2) for i, x in enumerate(ideal)
    )
    precision = sum(best[: i + 1].sum() / (i + 1) for i in range(len(best)) if best[i])
    return uauc, ndcg, precision / label.sum()


def masked_loop(user: np.ndarray, label: np.ndarray, score: np.ndarray, users: range) -> np.ndarray:
    """Compute per-user metrics, selecting each user's rows by a mask, [users, 3]."""
    return np.array([one_user(label[user == u], score[user == u]) for u in users])


def grouped_loop(label: list[np.ndarray], score: list[np.ndarray]) -> np.ndarray:
    """Compute per-user metrics of grouped rows, [users, 3]."""
    return np.array([one_user(*each) for each in zip(label, score, strict=True)])


def grouped(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> Grouped:
    """Group labels and scores by user with one sort."""
    order = np.argsort(user, kind="stable")
    border = np.flatnonzero(np.diff(user[order])) + 1
    return np.split(label[order], border), np.split(score[order], border)


def measure_ranking() -> dict[str, float]:
    """Measure seconds of each way to compute all four metrics; check that they agree."""
    table = rows(ROWS, USERS)
    ours, metrics = timed(lambda: ranking_metrics(*table), 5)
    pooled, pooled_auc = timed(lambda: float(roc_auc_score(table[1], table[2])))
    sorting, (label, score) = timed(lambda: grouped(*table))
    group, by_group = timed(lambda: grouped_loop(label[:LOOPED], score[:LOOPED]))
    mask, by_mask = timed(lambda: masked_loop(*table, range(1, LOOPED + 1)))
    same = np.stack(list(metrics.per_user.values()), axis=1)[:LOOPED]
    for values in (by_group, by_mask):
        if not np.allclose(same, values, equal_nan=True) or abs((metrics.auc or 0) - pooled_auc) > 1e-9:
            raise SystemExit("the ways disagree")
    scale = USERS / LOOPED
    return {
        "array programs": ours,
        "loop over users, rows grouped once": pooled + sorting + group * scale,
        "loop over users, a mask for each": pooled + mask * scale,
    }


def ours(user: np.ndarray, label: np.ndarray, score: np.ndarray, draws: int) -> Draws:
    """Compute all metrics, draws and intervals as `thinkrec evaluate` does."""
    drawn = bootstrap(
        user, label, {"system": score}, {"system": ranking_metrics(user, label, score)}, draws, 0
    )
    for each in drawn["system"].values():
        interval(each)
    return drawn["system"]


def looped_draws(
    label: list[np.ndarray], score: list[np.ndarray], by_user: np.ndarray, draws: int
) -> np.ndarray:
    """Compute all metrics of some draws of users, the same as ours, given per-user metrics, [draws, 4]."""
    values = []
    counts = next(user_counts(len(label), DRAWS, 0))
    for drawn in (np.repeat(np.arange(len(label)), each) for each in counts[:draws]):
        pooled = roc_auc_score(
            np.concatenate([label[u] for u in drawn]), np.concatenate([score[u] for u in drawn])
        )
        values.append([pooled, *np.nanmean(by_user[drawn], axis=0)])
    return np.array(values)


def measure_bootstrap() -> dict[str, float]:
    """Measure seconds of each way to compute metrics with intervals; check that they agree."""
    table = rows(BOOTSTRAP_ROWS, BOOTSTRAP_USERS)
    own, drawn = timed(lambda: ours(*table, DRAWS), 3)
    sorting, (label, score) = timed(lambda: grouped(*table))
    once, _ = timed(lambda: grouped_loop(label[:LOOPED], score[:LOOPED]))
    by_user = np.stack(list(ranking_metrics(*table).per_user.values()), axis=1)
    a_few, values = timed(lambda: looped_draws(label, score, by_user, LOOPED_DRAWS))
    if not np.allclose(np.stack(list(drawn.values()), axis=1)[:LOOPED_DRAWS], values):
        raise SystemExit("the ways disagree")
    looped = once * BOOTSTRAP_USERS / LOOPED + a_few * DRAWS / LOOPED_DRAWS
    return {"array programs": own, "loop over users once, then over draws": sorting + looped}


def show(seconds: dict[str, float]) -> None:
    """Print a table of seconds and ratios to ours."""
    print("| | seconds | times ours |\n|---|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {each:.2f} | {each / seconds['array programs']:.0f} |")


def main() -> None:
    """Measure and print the tables."""
    machine = f"{platform.processor() or platform.machine()}, {platform.platform()}"
    print(f"{datetime.datetime.now(datetime.UTC).date()}, one core of {machine}\n")
    print(f"{', '.join(METRICS)} of {ROWS:,} rows, {USERS:,} users; ", end="")
    print(f"the loops ran over {LOOPED} users and are scaled to all\n")
    show(measure_ranking())
    print(
        f"\nthe same with {DRAWS:,} bootstrap draws, {BOOTSTRAP_ROWS:,} rows, {BOOTSTRAP_USERS:,} users; ",
        end="",
    )
    print(f"the loop ran over {LOOPED} users and {LOOPED_DRAWS} draws and is scaled to all\n")
    show(measure_bootstrap())


if __name__ == "__main__":
    main()

"""Ranking metrics and their intervals: array programs against loops over users and draws.

Usage: OMP_NUM_THREADS=1 python benchmarks/ranking_metrics.py

First all metrics of 1,000,000 rows and 60,000 users, then all metrics with 95 % intervals by 1,000 bootstrap
draws on 145,000 rows of 40,000 users. The loops are what one would write with scikit-learn: `roc_auc_score`
and a sort for each user, and for each draw the rows of the drawn users put together. They are measured on the
first users and draws only and scaled up by their number; that all give the same values is checked.
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
    """The fastest of some runs, in seconds, and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def rows(count: int, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random user ids, labels and scores that know something of the labels; every user has a row."""
    rng = np.random.default_rng(0)
    user = np.concatenate([np.arange(1, users + 1), rng.integers(1, users + 1, count - users)])
    label = (rng.random(count) < 0.5).astype(np.int64)
    return user, label, (rng.normal(size=count) + label).astype(np.float32)


def one_user(label: np.ndarray, score: np.ndarray) -> tuple[float, float, float]:
    """UAUC, NDCG and MAP of one user without equal scores; NaN where the user does not count."""
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
    """The per-user metrics of some users, each user's rows searched in all rows, [users, 3]."""
    return np.array([one_user(label[user == u], score[user == u]) for u in users])


def grouped_loop(label: list[np.ndarray], score: list[np.ndarray]) -> np.ndarray:
    """The per-user metrics of users whose rows were put together before, [users, 3]."""
    return np.array([one_user(*each) for each in zip(label, score, strict=True)])


def grouped(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> Grouped:
    """Labels and scores of each user, by one sort."""
    order = np.argsort(user, kind="stable")
    border = np.flatnonzero(np.diff(user[order])) + 1
    return np.split(label[order], border), np.split(score[order], border)


def measure_ranking() -> dict[str, float]:
    """Seconds by way of computing all four metrics; checks that the ways agree."""
    table = rows(ROWS, USERS)
    ours, metrics = timed(lambda: ranking_metrics(*table), 5)
    pooled, pooled_auc = timed(lambda: float(roc_auc_score(table[1], table[2])))
    sorting, (label, score) = timed(lambda: grouped(*table))
    group, by_group = timed(lambda: grouped_loop(label[:LOOPED], score[:LOOPED]))
    mask, by_mask = timed(lambda: masked_loop(*table, range(1, LOOPED + 1)))
    same = np.stack(list(metrics.per_user.values()), axis=1)[:LOOPED]
    for found in (by_group, by_mask):
        if not np.allclose(same, found, equal_nan=True) or abs((metrics.auc or 0) - pooled_auc) > 1e-9:
            raise SystemExit("the ways disagree")
    scale = USERS / LOOPED
    return {
        "array programs": ours,
        "loop over users, rows grouped once": pooled + sorting + group * scale,
        "loop over users, a mask for each": pooled + mask * scale,
    }


def ours(user: np.ndarray, label: np.ndarray, score: np.ndarray, draws: int) -> Draws:
    """All metrics, their draws and intervals, as `thinkrec evaluate` computes them."""
    drawn = bootstrap(
        user, label, {"system": score}, {"system": ranking_metrics(user, label, score)}, draws, 0
    )
    for each in drawn["system"].values():
        interval(each)
    return drawn["system"]


def looped_draws(
    label: list[np.ndarray], score: list[np.ndarray], by_user: np.ndarray, draws: int
) -> np.ndarray:
    """All metrics of some draws of users, the same draws as ours, [draws, 4]; per-user metrics are given."""
    found = []
    counts = next(user_counts(len(label), DRAWS, 0))
    for drawn in (np.repeat(np.arange(len(label)), each) for each in counts[:draws]):
        pooled = roc_auc_score(
            np.concatenate([label[u] for u in drawn]), np.concatenate([score[u] for u in drawn])
        )
        found.append([pooled, *np.nanmean(by_user[drawn], axis=0)])
    return np.array(found)


def measure_bootstrap() -> dict[str, float]:
    """Seconds by way of computing all metrics with their intervals; checks that the ways agree."""
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
    """Print a table of seconds, each beside ours."""
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

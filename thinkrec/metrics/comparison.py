"""Paired comparison of two systems: differences by slice with intervals and per-user effect sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thinkrec.metrics.bootstrap import MIN_USERS, Draws, bootstrap, difference, interval, users_of
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.ranking import METRICS, RankingMetrics, ranking_metrics, rounded
from thinkrec.metrics.slices import Evaluation
from thinkrec.progress import Bar

_TOLERANCE = 1e-12  # means over seeds of equal terms may differ in the last bits


def compare(
    a: Sequence[Predictions],
    b: Sequence[Predictions],
    parts: Sequence[str],
    mask: Callable[[Predictions, str], np.ndarray],
    draws: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Compare systems A and B on slices.

    Args:
        a, b: predictions of each system, one per training seed, all of the same rows.
        parts: slice names.
        mask: (predictions, slice name) -> rows in the slice, [n] bool.
        draws: number of bootstrap resamples. Each draws users and, independently, one training of A and one
            of B, so that intervals include the variance between trainings.
        seed: random seed of the resampling.

    Returns:
        slice -> rows, users, and metric -> {a, b, difference, low, high, sd_users, sd_trainings, effect,
        users, ahead}. a, b: means over trainings; low, high: 95 % interval of the difference; sd_users,
        sd_trainings: its two standard deviations apart, see `sd_users` and `sd_trainings`; effect: see
        `net_share`, None for AUC; users: how many define the metric; ahead: "a" or "b" if the interval
        excludes 0, else None.

    Source: paired bootstrap over users and trainings, our choice.
    """
    table: dict[str, dict[str, Any]] = {}
    for part in Bar(parts, desc="comparing", unit="slice", leave=False):
        own_a, own_b = ([each.take(mask(each, part)) for each in system] for system in (a, b))
        table[part] = _slice(own_a, own_b, draws, seed)
    return table


def _slice(a: list[Predictions], b: list[Predictions], draws: int, seed: int) -> dict[str, Any]:
    user, label = a[0].user_id, a[0].label
    scores = {str(k): each.score for k, each in enumerate((*a, *b))}
    metrics = {name: ranking_metrics(user, label, score) for name, score in scores.items()}
    drawn = list(bootstrap(user, label, scores, metrics, draws, seed).values())
    of_a, of_b = list(metrics.values())[: len(a)], list(metrics.values())[len(a) :]
    rng = np.random.default_rng([seed, 1])  # not the stream that draws users
    both = drawn[: len(a)], drawn[len(a) :]
    picked = [_one_training(each, draws, rng) for each in both]
    averaged = [{name: np.mean([own[name] for own in each], axis=0) for name in each[0]} for each in both]
    return {
        "rows": len(user),
        "users": len(of_a[0].user),
        **{
            name: _entry(of_a, of_b, name, *(each.get(name) for each in (*picked, *averaged)))
            for name in METRICS
        },
    }


def pooled(evaluation: Evaluation, trainings: Mapping[str, Sequence[str]], seed: int) -> Evaluation:
    """Put the trainings of each system together, as `compare` does for two.

    Values are means over the trainings, and each draw takes one of them, so that intervals and differences
    include the variance between trainings.

    Args:
        evaluation: of all systems, and of their further trainings under names of their own.
        trainings: system -> names of its further trainings; a slice that they lack has the first alone.
        seed: random seed of the choice of trainings.

    Returns:
        The systems without their further trainings; metrics are slice -> {value, low, high of each metric}.

    Source: our choice.
    """
    further = {name for names in trainings.values() for name in names}
    result = Evaluation({}, {}, {})
    for part, ranking in evaluation.ranking.items():
        drawn = evaluation.draws[part]
        result.ranking[part], result.draws[part] = {}, {}
        for name in (each for each in ranking if each not in further):
            own = [name, *(each for each in trainings.get(name, ()) if each in ranking)]
            metrics = [ranking[each] for each in own]
            rng = np.random.default_rng([seed, 1, *name.encode()])
            draws = [drawn[each] for each in own if drawn[each]]
            result.ranking[part][name] = _mean_ranking(metrics)
            result.draws[part][name] = _one_training(draws, len(draws[0]["auc"]), rng) if draws else {}
            result.metrics.setdefault(name, {})[part] = _spread(
                result.ranking[part][name], result.draws[part][name]
            )
    return result


def _mean_ranking(trainings: Sequence[RankingMetrics]) -> RankingMetrics:
    first = trainings[0]
    if len(trainings) == 1:
        return first
    means = {name: np.mean([each.per_user[name] for each in trainings], axis=0) for name in first.per_user}
    return replace(first, per_user=means, auc=_mean(list(trainings), "auc"))


def _spread(ranking: RankingMetrics, draws: Draws) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for name, value in ranking.values.items():
        ends = interval(draws[name]) if name in draws and value is not None else None
        low, high = ends or (None, None)
        entry |= {name: rounded(value), f"{name}_low": rounded(low), f"{name}_high": rounded(high)}
    return entry


def _one_training(drawn: list[Draws], draws: int, rng: np.random.Generator) -> Draws:
    """Pick one training's values at random in each draw, [R] per metric."""
    chosen = rng.integers(len(drawn), size=draws)
    # From [trainings, R] take one entry per column.
    return {name: np.stack([each[name] for each in drawn])[chosen, np.arange(draws)] for name in drawn[0]}


def _mean(metrics: list[RankingMetrics], name: str) -> float | None:
    # A metric's being defined depends on the labels alone, so all trainings agree.
    known = [value for each in metrics if (value := each.values[name]) is not None]
    return float(np.mean(known)) if known else None


def net_share(a: np.ndarray, b: np.ndarray) -> float | None:
    """Compute the share of users for whom A is better minus that for whom B is, in -1..1; None without users.

    Shows how widespread a difference is: a mean may be due to a few users.

    Args:
        a, b: value of each user under each system, [U]; users with NaN are dropped, ties count for neither.
    """
    delta = (a - b)[~np.isnan(a - b)]
    return float((delta > _TOLERANCE).mean() - (delta < -_TOLERANCE).mean()) if len(delta) else None


def sd_users(a: np.ndarray | None, b: np.ndarray | None, users: int) -> float | None:
    """Compute the standard deviation of a difference between draws of users, trainings held fixed.

    Args:
        a, b: a metric's mean over a system's trainings in each draw, [R]; NaN where undefined.
        users: how many define the metric; below MIN_USERS the value is None.
    """
    if a is None or b is None or users < MIN_USERS:
        return None
    defined = (a - b)[~np.isnan(a - b)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else None


def sd_trainings(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Compute the standard deviation of a difference between pairs of one training of A and one of B.

    Trainings of A and B are independent, so that variances (divisor n - 1) add up. A system with one training
    adds nothing; None if both have one.

    Args:
        a, b: a metric's value on all users for each training.
    """
    several = [each for each in (a, b) if len(each) > 1]
    return float(np.sqrt(sum(np.var(each, ddof=1) for each in several))) if several else None


def _entry(
    a: list[RankingMetrics],
    b: list[RankingMetrics],
    name: str,
    drawn_a: np.ndarray | None,
    drawn_b: np.ndarray | None,
    mean_a: np.ndarray | None,
    mean_b: np.ndarray | None,
) -> dict[str, Any]:
    value_a, value_b, users = _mean(a, name), _mean(b, name), users_of(a[0], name)
    paired = difference(value_a, value_b, users, drawn_a, drawn_b)
    low, high = paired["low"], paired["high"]
    effect = None
    if name in a[0].per_user:
        means = [np.mean([each.per_user[name] for each in x], axis=0) for x in (a, b)]
        effect = net_share(*means)
    ahead = "a" if low is not None and low > 0 else "b" if high is not None and high < 0 else None
    each_a, each_b = ([value for one in x if (value := one.values[name]) is not None] for x in (a, b))
    apart = {"sd_users": sd_users(mean_a, mean_b, users), "sd_trainings": sd_trainings(each_a, each_b)}
    numbers = {"a": value_a, "b": value_b, **paired, **apart, "effect": effect}
    return {key: rounded(each) for key, each in numbers.items()} | {"users": users, "ahead": ahead}

"""Two systems against each other: paired differences by slice, their intervals, and how many users notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thinkrec.metrics.bootstrap import Draws, bootstrap, difference, users_of
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.ranking import METRICS, RankingMetrics, ranking_metrics, rounded
from thinkrec.progress import Bar

_SAME = 1e-12  # means over seeds may differ in the last bits though their terms are the same


def compare(
    a: Sequence[Predictions],
    b: Sequence[Predictions],
    parts: Sequence[str],
    mask: Callable[[Predictions, str], np.ndarray],
    draws: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Compare system A with system B on slices.

    Args:
        a, b: each system's scores, one entry a training seed, all of the same rows.
        parts: names of slices.
        mask: (predictions, name of the slice) -> which of the rows are in it, [n] bool.
        draws: bootstrap resamples. Each draws users and, independently, one training of A and one of B; so
            the interval holds the variance between trainings where there are several.
        seed: of the resampling.

    Returns:
        slice -> rows, users, and metric -> {a, b, difference, low, high, effect, users, ahead}. a, b: means
        over the trainings; effect: see `net_share`, None for AUC; users: how many define the metric; ahead:
        "a" or "b" where the interval leaves 0 out, else None.

    Source: paired bootstrap over users and trainings, our choice.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in Bar(parts, desc="comparing", unit="slice", leave=False):
        own_a, own_b = ([each.take(mask(each, part)) for each in side] for side in (a, b))
        found[part] = _slice(own_a, own_b, draws, seed)
    return found


def _slice(a: list[Predictions], b: list[Predictions], draws: int, seed: int) -> dict[str, Any]:
    user, label = a[0].user_id, a[0].label
    scores = {str(k): each.score for k, each in enumerate((*a, *b))}
    metrics = {name: ranking_metrics(user, label, score) for name, score in scores.items()}
    drawn = list(bootstrap(user, label, scores, metrics, draws, seed).values())
    of_a, of_b = list(metrics.values())[: len(a)], list(metrics.values())[len(a) :]
    rng = np.random.default_rng([seed, 1])  # another stream than the users'
    drawn_a = _one_training(drawn[: len(a)], draws, rng)
    drawn_b = _one_training(drawn[len(a) :], draws, rng)
    return {
        "rows": len(user),
        "users": len(of_a[0].user),
        **{name: _entry(of_a, of_b, name, drawn_a.get(name), drawn_b.get(name)) for name in METRICS},
    }


def _one_training(drawn: list[Draws], draws: int, rng: np.random.Generator) -> Draws:
    """In each draw the values of one training, chosen at random, [R] by metric."""
    chosen = rng.integers(len(drawn), size=draws)
    return {name: np.stack([each[name] for each in drawn])[chosen, np.arange(draws)] for name in drawn[0]}


def _mean(metrics: list[RankingMetrics], name: str) -> float | None:
    # Whether a metric is defined depends on the labels alone, so that all trainings have it or none.
    known = [value for each in metrics if (value := each.values[name]) is not None]
    return float(np.mean(known)) if known else None


def net_share(a: np.ndarray, b: np.ndarray) -> float | None:
    """Share of users for whom A is better minus the share for whom B is, in -1..1; None without users.

    It says how widely a difference is felt: a mean may come from few users with large differences.

    Args:
        a, b: each user's value by each system, [U]; users with NaN are left out, equal values count for none.
    """
    apart = (a - b)[~np.isnan(a - b)]
    return float((apart > _SAME).mean() - (apart < -_SAME).mean()) if len(apart) else None


def _entry(
    a: list[RankingMetrics],
    b: list[RankingMetrics],
    name: str,
    drawn_a: np.ndarray | None,
    drawn_b: np.ndarray | None,
) -> dict[str, Any]:
    value_a, value_b, users = _mean(a, name), _mean(b, name), users_of(a[0], name)
    found = difference(value_a, value_b, users, drawn_a, drawn_b)
    low, high = found["low"], found["high"]
    effect = None
    if name in a[0].per_user:
        own = [np.mean([each.per_user[name] for each in x], axis=0) for x in (a, b)]
        effect = net_share(*own)
    ahead = "a" if low is not None and low > 0 else "b" if high is not None and high < 0 else None
    numbers = {"a": value_a, "b": value_b, **found, "effect": effect}
    return {key: rounded(each) for key, each in numbers.items()} | {"users": users, "ahead": ahead}

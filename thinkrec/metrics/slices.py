"""Metrics with intervals and populations for every system and slice: the content of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thinkrec.errors import DataError
from thinkrec.metrics.bootstrap import Draws, bootstrap, interval, paired_difference
from thinkrec.metrics.predictions import SLICES, Predictions
from thinkrec.metrics.ranking import RankingMetrics, ranking_metrics, rounded


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Args:
        metrics: system -> slice -> {auc, auc_low, auc_high, ..., rows, positives, users, users_ranked,
            users_uauc, tied_rows}; a value that is undefined is None and `<metric>_reason` says why.
        ranking: slice -> system -> metrics for each user; systems without rows in the slice are left out.
        draws: slice -> system -> metric -> values in every bootstrap draw.
    """

    metrics: dict[str, dict[str, dict[str, Any]]]
    ranking: dict[str, dict[str, RankingMetrics]] = field(repr=False)
    draws: dict[str, dict[str, Draws]] = field(repr=False)


def _entry(ranking: RankingMetrics, draws: Draws, scored: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for name, value in ranking.values.items():
        spread = (interval(draws[name]) if name in draws and value is not None else None) or (None, None)
        entry |= {name: rounded(value), f"{name}_low": rounded(spread[0]), f"{name}_high": rounded(spread[1])}
        if value is None:
            entry[f"{name}_reason"] = ranking.reasons[name] if scored else "the split was not scored"
    return entry | ranking.population


def _check_same_rows(present: Mapping[str, Predictions], part: str) -> None:
    (first, one), *others = present.items()
    for name, each in others:
        if not all(
            np.array_equal(getattr(one, column), getattr(each, column))
            for column in ("user_id", "item_id", "position", "label")
        ):
            raise DataError(
                f"{first} and {name} were scored on different {part} rows and can't be compared; "
                "score both again on the same interactions"
            )


def evaluate_slices(systems: Mapping[str, Predictions], draws: int, seed: int) -> Evaluation:
    """Measure every system on test and valid, each as a whole, its warm and its cold rows.

    Within a slice all systems share the bootstrap draws, so that their differences are paired.

    Args:
        systems: scores by name of the system.
        draws: bootstrap resamples of users behind each 95 % interval.
        seed: of the resampling.

    Raises:
        DataError: two systems were scored on different rows of the same split.
    """
    found = Evaluation({name: {} for name in systems}, {}, {})
    for part in SLICES:
        split = part.partition("/")[0]
        rows = {name: each.take(each.slice(part)) for name, each in systems.items()}
        ranking = {name: ranking_metrics(each.user_id, each.label, each.score) for name, each in rows.items()}
        present = {name: each for name, each in rows.items() if len(each.score)}
        here = {name: ranking[name] for name in present}
        drawn = _draws(present, part, here, draws, seed)
        for name, each in systems.items():
            scored = bool(each.slice(split).any())
            found.metrics[name][part] = _entry(ranking[name], drawn.get(name, {}), scored)
        found.ranking[part], found.draws[part] = here, drawn
    return found


def _draws(
    present: Mapping[str, Predictions],
    part: str,
    ranking: Mapping[str, RankingMetrics],
    draws: int,
    seed: int,
) -> dict[str, Draws]:
    if not present:
        return {}
    _check_same_rows(present, part)
    any_one = next(iter(present.values()))
    scores = {name: each.score for name, each in present.items()}
    return bootstrap(any_one.user_id, any_one.label, scores, ranking, draws, seed)


def differences(evaluation: Evaluation, reference: str) -> dict[str, dict[str, Any]]:
    """Paired differences of `reference` to every other system, with their 95 % intervals.

    Returns:
        slice -> other system -> metric -> {difference, low, high}; slices without rows are left out.
    """
    table: dict[str, dict[str, Any]] = {}
    for part, ranking in evaluation.ranking.items():
        drawn = evaluation.draws[part]
        for other in ranking if reference in ranking else ():
            if other != reference:
                found = paired_difference(ranking[reference], ranking[other], drawn[reference], drawn[other])
                table.setdefault(part, {})[other] = {
                    name: {key: rounded(value) for key, value in each.items()} for name, each in found.items()
                }
    return table

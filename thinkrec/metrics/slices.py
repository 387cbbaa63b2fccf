"""Metrics with intervals and populations for every system and slice: the content of metrics.json."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thinkrec.errors import DataError
from thinkrec.metrics.bootstrap import Draws, bootstrap, interval, paired_difference
from thinkrec.metrics.predictions import SLICES, Predictions
from thinkrec.metrics.ranking import METRICS, RankingMetrics, ranking_metrics, rounded
from thinkrec.progress import Bar


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


def check_same_rows(present: Mapping[str, Predictions], part: str) -> None:
    """Check that all predictions are of the same rows.

    Raises:
        DataError: two are not; it names them and the slice `part`.
    """
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


def evaluate_slices(
    systems: Mapping[str, Predictions],
    draws: int,
    seed: int,
    parts: Sequence[str] = SLICES,
    mask: Callable[[Predictions, str], np.ndarray] = Predictions.slice,
) -> Evaluation:
    """Measure every system on some slices.

    Within a slice all systems share the bootstrap draws, so that their differences are paired.

    Args:
        systems: scores by name of the system.
        draws: bootstrap resamples of users behind each 95 % interval.
        seed: of the resampling.
        parts: names of the slices, each `<split>` or `<split>/<rest>`; test and valid, each as a whole, its
            warm and its cold rows, where nothing is given.
        mask: (predictions, name of the slice) -> which of the rows are in it, [n] bool.

    Raises:
        DataError: two systems were scored on different rows of the same split.
    """
    found = Evaluation({name: {} for name in systems}, {}, {})
    for part in Bar(parts, desc="measuring", unit="slice", leave=False):
        split = part.partition("/")[0]
        rows = {name: each.take(mask(each, part)) for name, each in systems.items()}
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
    check_same_rows(present, part)
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


def ahead(evaluation: Evaluation, rivals: Collection[str]) -> dict[str, dict[str, str]]:
    """The system that is better than every rival, by slice and metric, where there is one.

    Its paired difference to each rival that has the metric must have an interval above 0; what is best by its
    value alone, and a system without rivals, is not named.

    Args:
        evaluation: of `evaluate_slices`.
        rivals: who competes.
    """
    found: dict[str, dict[str, str]] = {}
    for part, ranking in evaluation.ranking.items():
        drawn, here = evaluation.draws[part], [name for name in ranking if name in rivals]
        for metric in METRICS:
            values = {name: ranking[name].values[metric] for name in here}
            known = {name: value for name, value in values.items() if value is not None}
            if len(known) < 2:
                continue
            best = max(known, key=lambda name: known[name])
            lows = [
                paired_difference(ranking[best], ranking[other], drawn[best], drawn[other])[metric]["low"]
                for other in known
                if other != best
            ]
            if all(low is not None and low > 0 for low in lows):
                found.setdefault(part, {})[metric] = best
    return found


def over_seeds(trainings: Sequence[Predictions]) -> dict[str, Any]:
    """Mean and standard deviation of the test metrics over trainings of one system with several seeds.

    Args:
        trainings: the same system's scores by seed, two or more.

    Returns:
        `seeds`: how many; `<metric>_mean` and `<metric>_sd` (n - 1 in the divisor), None where undefined.

    Raises:
        DataError: two trainings were scored on different test rows.
    """
    tests = [each.take(each.slice("test")) for each in trainings]
    check_same_rows({f"seed {number}": each for number, each in enumerate(tests, 1)}, "test")
    values = [ranking_metrics(each.user_id, each.label, each.score).values for each in tests]
    found: dict[str, Any] = {"seeds": len(trainings)}
    for metric in METRICS:
        known = [value for each in values if (value := each[metric]) is not None]
        found[f"{metric}_mean"] = rounded(float(np.mean(known))) if known else None
        found[f"{metric}_sd"] = rounded(float(np.std(known, ddof=1))) if known else None
    return found

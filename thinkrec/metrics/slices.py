"""Metrics with intervals and populations by system and slice: the content of metrics.json."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from thinkrec.errors import DataError
from thinkrec.metrics.bootstrap import Draws, bootstrap, interval, paired_difference
from thinkrec.metrics.predictions import SLICES, Predictions
from thinkrec.metrics.ranking import METRICS, RankingMetrics, ranking_metrics, rounded
from thinkrec.progress import Bar

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """Metrics of all systems and slices.

    Args:
        metrics: system -> slice -> {auc, auc_low, auc_high, ..., rows, positives, users, users_ranked,
            users_uauc, tied_rows}; undefined values are None and have a `<metric>_reason`.
        ranking: slice -> system -> per-user metrics, for systems with rows in the slice.
        draws: slice -> system -> metric -> values per bootstrap draw.
    """

    metrics: dict[str, dict[str, dict[str, Any]]]
    ranking: dict[str, dict[str, RankingMetrics]] = field(repr=False)
    draws: dict[str, dict[str, Draws]] = field(repr=False)

    def only(self, names: Collection[str]) -> Evaluation:
        """Return some of the systems."""
        ranking = {part: _only(names, each) for part, each in self.ranking.items()}
        draws = {part: _only(names, each) for part, each in self.draws.items()}
        return Evaluation(_only(names, self.metrics), ranking, draws)

    def under(self, prefix: str) -> Evaluation:
        """Return the systems whose names begin with a prefix, without it."""
        ranking = {part: _under(prefix, each) for part, each in self.ranking.items()}
        draws = {part: _under(prefix, each) for part, each in self.draws.items()}
        return Evaluation(_under(prefix, self.metrics), ranking, draws)


def _under(prefix: str, by_name: dict[str, T]) -> dict[str, T]:
    return {name.removeprefix(prefix): each for name, each in by_name.items() if name.startswith(prefix)}


def _only(names: Collection[str], by_name: dict[str, T]) -> dict[str, T]:
    return {name: each for name, each in by_name.items() if name in names}


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
        DataError: two differ; names them and the slice `part`.
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
    """Compute the metrics of all systems on slices.

    Within a slice all systems share the bootstrap draws, so that their differences are paired.

    Args:
        systems: predictions by system name.
        draws: number of bootstrap resamples of users behind each 95 % interval.
        seed: random seed of the resampling.
        parts: slice names, each `<split>` or `<split>/<rest>`.
        mask: (predictions, slice name) -> rows in the slice, [n] bool.

    Raises:
        DataError: two systems were scored on different rows of the same split.
    """
    result = Evaluation({name: {} for name in systems}, {}, {})
    for part in Bar(parts, desc="measuring", unit="slice", leave=False):
        split = part.partition("/")[0]
        rows = {name: each.take(mask(each, part)) for name, each in systems.items()}
        ranking = {name: ranking_metrics(each.user_id, each.label, each.score) for name, each in rows.items()}
        present = {name: each for name, each in rows.items() if len(each.score)}
        here = {name: ranking[name] for name in present}
        drawn = _draws(present, part, here, draws, seed)
        for name, each in systems.items():
            scored = bool(each.slice(split).any())
            result.metrics[name][part] = _entry(ranking[name], drawn.get(name, {}), scored)
        result.ranking[part], result.draws[part] = here, drawn
    return result


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
    """Compute paired differences of `reference` to all other systems, with 95 % intervals.

    Returns:
        slice -> other system -> metric -> {difference, low, high}, for slices with rows.
    """
    table: dict[str, dict[str, Any]] = {}
    for part, ranking in evaluation.ranking.items():
        drawn = evaluation.draws[part]
        for other in ranking if reference in ranking else ():
            if other != reference:
                paired = paired_difference(ranking[reference], ranking[other], drawn[reference], drawn[other])
                table.setdefault(part, {})[other] = {
                    name: {key: rounded(value) for key, value in each.items()}
                    for name, each in paired.items()
                }
    return table


def ahead(evaluation: Evaluation, rivals: Collection[str]) -> dict[str, dict[str, str]]:
    """Find the system that is significantly better than all rivals, by slice and metric, if there is one.

    Its paired difference to each rival that has the metric must have an interval above 0.

    Args:
        evaluation: from `evaluate_slices`.
        rivals: names of the systems that compete.
    """
    leaders: dict[str, dict[str, str]] = {}
    for part, ranking in evaluation.ranking.items():
        drawn, here = evaluation.draws[part], [name for name in ranking if name in rivals]
        for metric in METRICS:
            values = {name: value for name in here if (value := ranking[name].values[metric]) is not None}
            if len(values) < 2:
                continue
            best = max(values, key=lambda name: values[name])
            lows = [
                paired_difference(ranking[best], ranking[other], drawn[best], drawn[other])[metric]["low"]
                for other in values
                if other != best
            ]
            if all(low is not None and low > 0 for low in lows):
                leaders.setdefault(part, {})[metric] = best
    return leaders


def over_seeds(trainings: Sequence[Predictions]) -> dict[str, Any]:
    """Compute mean and standard deviation of test metrics over a system's trainings with several seeds.

    Args:
        trainings: predictions per seed, two or more.

    Returns:
        `seeds`: their number; `<metric>_mean` and `<metric>_sd` (divisor n - 1), None if undefined.

    Raises:
        DataError: two trainings were scored on different test rows.
    """
    tests = [each.take(each.slice("test")) for each in trainings]
    check_same_rows({f"seed {number}": each for number, each in enumerate(tests, 1)}, "test")
    by_seed = [ranking_metrics(each.user_id, each.label, each.score).values for each in tests]
    summary: dict[str, Any] = {"seeds": len(trainings)}
    for metric in METRICS:
        values = [value for each in by_seed if (value := each[metric]) is not None]
        summary[f"{metric}_mean"] = rounded(float(np.mean(values))) if values else None
        summary[f"{metric}_sd"] = rounded(float(np.std(values, ddof=1))) if values else None
    return summary

"""Evaluation of scores under each protocol: predictions, metrics, slices, differences and plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.files import write_json
from thinkrec.layout import Layout
from thinkrec.metrics.comparison import pooled
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.ranking import METRICS
from thinkrec.metrics.slices import Evaluation, differences, evaluate_slices
from thinkrec.protocols import Protocol
from thinkrec.reports.bounds import bounds, load_breakdown
from thinkrec.reports.kinds import REASONS, SHUFFLED, Winners, kind, winners
from thinkrec.reports.plots import write_plots
from thinkrec.reports.predictions import Seeds, save_predictions, with_seeds

Scored = tuple[np.ndarray, np.ndarray]
"""Row numbers [n] of the interactions, and their scores [n]."""


@dataclass(frozen=True)
class Scores:
    """What systems say under one protocol.

    Args:
        systems: system -> (row numbers [n], scores [n]), of all rows of valid, of test, or of both.
        seeds: system -> seed -> the same, for trainings with further seeds.
    """

    systems: dict[str, Scored]
    seeds: dict[str, dict[int, Scored]] = field(default_factory=dict)


@dataclass(frozen=True)
class Leader:
    """The system with a metric's highest value on test.

    Args:
        system: its name.
        others: each other system, floor and ceiling -> {difference, low, high} of the leader to it.
        tied: other systems with the same value.
    """

    system: str
    others: dict[str, dict[str, float | None]]
    tied: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What was measured under one protocol.

    Args:
        metrics: system -> slice -> numbers.
        slices: system -> further slice of test -> numbers.
        best: slice -> metric -> the system that is ahead of all others.
        differences: slice -> other system -> metric -> {difference, low, high} of the reference to it.
        smoothing: pseudo-counts of the floors, chosen on valid.
        leaders: metric -> the system with the highest value on test, ahead of the others or not.
        pooled: system -> test -> metrics with intervals, over all trainings of the system: what `best`,
            `differences` and `leaders` rest on (`metrics.comparison.pooled`). `metrics` and `slices` are of
            the first training.
    """

    metrics: dict[str, Any]
    slices: dict[str, Any]
    best: Winners
    differences: dict[str, Any]
    smoothing: dict[str, list[float]]
    leaders: dict[str, Leader]
    pooled: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Results of `write_results`.

    Args:
        by_protocol: what was measured under each, the headline's first.
        reasons: system -> text metrics.
        reference: the system with which others are compared, or None.
        draws, seed: of the bootstrap over users.
    """

    by_protocol: dict[Protocol, Measured]
    reasons: Mapping[str, Mapping[str, Any]]
    reference: str | None
    draws: int
    seed: int

    @property
    def headline(self) -> Protocol:
        """The protocol of the headline figures."""
        return next(iter(self.by_protocol))


def _check_names(scores: Sequence[str], reference: str | None, seeds: Iterable[str]) -> None:
    taken = sorted(name for name in scores if kind(name) != "system" or name == REASONS)
    if taken:
        raise ValueError(f"{', '.join(taken)}: names of floors, ceilings and reasons can't be a system's")
    if reference is not None and reference not in scores:
        raise ValueError(f"reference {reference!r} is none of the systems {', '.join(scores)}")
    if unknown := sorted(set(seeds) - set(scores)):
        raise ValueError(f"seeds of {', '.join(unknown)}: none of the systems {', '.join(scores)}")


def _leaders(evaluation: Evaluation) -> dict[str, Leader]:
    test = Evaluation(
        evaluation.metrics, {"test": evaluation.ranking["test"]}, {"test": evaluation.draws["test"]}
    )
    systems = [name for name in evaluation.ranking["test"] if kind(name) == "system"]
    apart: dict[str, dict[str, Any]] = {}
    found = {}
    for metric in METRICS:
        values = {name: evaluation.ranking["test"][name].values[metric] for name in systems}
        known = {name: value for name, value in values.items() if value is not None}
        if known:
            best = max(known, key=lambda name: known[name])
            if best not in apart:
                apart[best] = differences(test, best).get("test", {})
            tied = tuple(name for name in known if known[name] == known[best] and name != best)
            found[metric] = Leader(best, {name: each[metric] for name, each in apart[best].items()}, tied)
    return found


def write_results(
    layout: Layout,
    data: Interactions,
    scores: Mapping[Protocol, Scores],
    draws: int,
    seed: int,
    reference: str | None = None,
    reasons: Mapping[str, Mapping[str, Any]] | None = None,
    controls: Mapping[Protocol, Mapping[str, Mapping[str, Any]]] | None = None,
) -> Results:
    """Evaluate all systems along with floors and ceilings, under each protocol.

    Writes predictions, metrics.json, slices.json, differences.json and, under the first protocol, plots.

    Args:
        layout: paths of the files.
        data: all interactions.
        scores: by protocol, the headline's first.
        draws: number of bootstrap resamples of users behind each 95 % interval.
        seed: random seed of the bootstrap.
        reference: the system whose paired differences to all others go to differences.json.
        reasons: system -> `text_metrics` of its generated reasons.
        controls: protocol -> system -> the shuffled control (`thinkrec.systems.control`), where there is one.

    Raises:
        DataError: rows are not whole splits.
        ModelError: scores are not finite.
        ValueError: a system has the name of a floor or ceiling, or the reference or a system with several
            seeds was not scored.
    """
    found: dict[Protocol, Measured] = {}
    predictions: dict[Protocol, tuple[dict[str, Predictions], Seeds]] = {}
    smoothing: dict[Protocol, dict[str, list[float]]] = {}
    for protocol, said in scores.items():
        _check_names(list(said.systems), reference, said.seeds)
        floors_and_ceilings, smoothing[protocol] = bounds(layout, data, protocol)
        systems = {name: Predictions.of(data, *each, name) for name, each in said.systems.items()}
        others = {
            name: {k: Predictions.of(data, *one, f"{name}, seed {k}") for k, one in each.items()}
            for name, each in said.seeds.items()
        }
        predictions[protocol] = systems | floors_and_ceilings, others
    # All protocols at once: what is equal under two of them is measured once.
    every = {f"{p}/{name}": each for p, (own, _) in predictions.items() for name, each in own.items()}
    trained = {
        p: {name: [f"{name}#{k}" for k in each] for name, each in of.items()}
        for p, (_, of) in predictions.items()
    }
    for protocol, (_, of) in predictions.items():
        for name, each in of.items():
            every |= {f"{protocol}/{name}#{k}": one.take(one.slice("test")) for k, one in each.items()}
    breakdown = load_breakdown(layout, data)
    main = evaluate_slices(every, draws, seed)
    further = evaluate_slices(every, draws, seed, breakdown.names("test"), breakdown.slice)
    kept: dict[Protocol, tuple[dict[str, Predictions], Evaluation, Seeds]] = {}
    for protocol, (systems, seeds) in predictions.items():
        evaluation, slices = main.under(f"{protocol}/"), further.under(f"{protocol}/")
        together, apart = (pooled(each, trained[protocol], seed) for each in (evaluation, slices))
        evaluation, slices = (each.only(systems) for each in (evaluation, slices))
        metrics = with_seeds(evaluation, systems, seeds)
        for name, control in (controls or {}).get(protocol, {}).items():
            metrics[name][SHUFFLED] = dict(control)
        best = winners(together) | winners(apart)
        paired = differences(together, reference) if reference else {}
        kept[protocol] = systems, evaluation, seeds
        found[protocol] = Measured(
            metrics, slices.metrics, best, paired, smoothing[protocol], _leaders(together), together.metrics
        )
    save_predictions(layout, kept)
    write_plots(layout, next(iter(kept.values()))[0])
    header = {"reference": reference, "draws": draws, "seed": seed}
    paired = {name: {"slices": each.differences, "best": each.best} for name, each in found.items()}
    write_json(layout.differences, {**header, **paired})
    write_json(layout.slices, {name: each.slices for name, each in found.items()})
    reasons = dict(reasons or {})
    metrics = {name: each.metrics for name, each in found.items()}
    write_json(layout.metrics, metrics | ({REASONS: reasons} if reasons else {}))
    return Results(found, reasons, reference, draws, seed)

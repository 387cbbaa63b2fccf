"""Evaluation of scores: predictions, metrics, slices, differences and plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.files import write_json
from thinkrec.layout import Layout
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.slices import differences, evaluate_slices
from thinkrec.reports.bounds import bounds, load_breakdown
from thinkrec.reports.kinds import REASONS, Winners, kind, winners
from thinkrec.reports.plots import write_plots
from thinkrec.reports.predictions import measure, save_predictions

Scored = tuple[np.ndarray, np.ndarray]
"""Row numbers [n] of the interactions, and their scores [n]."""


@dataclass(frozen=True)
class Results:
    """Results of `write_results`.

    Args:
        metrics: content of metrics.json: system -> slice -> numbers; `reasons` -> system -> text metrics.
        slices: content of slices.json: system -> further slice of test -> numbers.
        best: slice -> metric -> the system that is ahead of all others.
        differences: slice -> other system -> metric -> {difference, low, high} of `reference` to it.
        reference: the system with which others are compared, or None.
        smoothing: pseudo-counts of the floors, chosen on valid.
        draws, seed: of the bootstrap over users.
    """

    metrics: dict[str, Any]
    slices: dict[str, Any]
    best: Winners
    differences: dict[str, Any]
    reference: str | None
    smoothing: dict[str, list[float]]
    draws: int
    seed: int


def _check_names(scores: Sequence[str], reference: str | None, seeds: Iterable[str]) -> None:
    taken = sorted(name for name in scores if kind(name) != "system" or name == REASONS)
    if taken:
        raise ValueError(f"{', '.join(taken)}: names of floors, ceilings and reasons can't be a system's")
    if reference is not None and reference not in scores:
        raise ValueError(f"reference {reference!r} is none of the systems {', '.join(scores)}")
    if unknown := sorted(set(seeds) - set(scores)):
        raise ValueError(f"seeds of {', '.join(unknown)}: none of the systems {', '.join(scores)}")


def write_results(
    layout: Layout,
    data: Interactions,
    scores: Mapping[str, Scored],
    draws: int,
    seed: int,
    reference: str | None = None,
    reasons: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Mapping[str, Mapping[int, Scored]] | None = None,
) -> Results:
    """Evaluate all systems along with floors and ceilings.

    Writes predictions, metrics.json, slices.json, differences.json and plots.

    Args:
        layout: paths of the files.
        data: all interactions.
        scores: system -> (row numbers [n], scores [n]), of all rows of valid, of test, or of both.
        draws: number of bootstrap resamples of users behind each 95 % interval.
        seed: random seed of the bootstrap.
        reference: the system whose paired differences to all others go to differences.json.
        reasons: system -> `text_metrics` of its generated reasons.
        seeds: system -> seed -> as in `scores`, for trainings with further seeds.

    Raises:
        DataError: rows are not whole splits.
        ModelError: scores are not finite.
        ValueError: a system has the name of a floor or ceiling, or the reference or a system with several
            seeds was not scored.
    """
    seeds = seeds or {}
    _check_names(list(scores), reference, seeds)
    floors_and_ceilings, smoothing = bounds(layout, data)
    systems = {name: Predictions.of(data, *each, name) for name, each in scores.items()} | floors_and_ceilings
    others = {
        name: {k: Predictions.of(data, *trained, f"{name}, seed {k}") for k, trained in each.items()}
        for name, each in seeds.items()
    }
    evaluation, measured = measure(systems, others, draws, seed)
    breakdown = load_breakdown(layout, data)
    slices = evaluate_slices(systems, draws, seed, breakdown.names("test"), breakdown.slice)
    best = winners(evaluation) | winners(slices)
    paired = differences(evaluation, reference) if reference else {}
    metrics: dict[str, Any] = measured | ({REASONS: dict(reasons)} if reasons else {})
    save_predictions(layout, systems, evaluation, others)
    write_plots(layout, systems)
    header = {"reference": reference, "draws": draws, "seed": seed}
    write_json(layout.differences, {**header, "slices": paired, "best": best})
    write_json(layout.slices, slices.metrics)
    write_json(layout.metrics, metrics)
    return Results(metrics, slices.metrics, best, paired, reference, smoothing, draws, seed)

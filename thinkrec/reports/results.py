"""From scores to everything that is written about them, in one call."""

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
"""Row numbers [n] in the interactions, and their scores [n]."""


@dataclass(frozen=True)
class Results:
    """What `write_results` measured.

    Args:
        metrics: content of metrics.json: system -> slice -> numbers; `reasons` -> system -> text metrics.
        slices: content of slices.json: system -> further slice of test -> numbers.
        best: slice, further ones too -> metric -> the system that is ahead of all others.
        differences: slice -> other system -> metric -> {difference, low, high} of `reference` to it.
        reference: the system whose differences were taken, None where it was not given.
        smoothing: weights of the global share that the floors chose on valid.
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
    """Measure all systems beside floors and ceilings.

    Writes predictions, metrics.json, slices.json, differences.json and plots.

    Args:
        layout: where the files go.
        data: all interactions.
        scores: name of the system -> (row numbers [n], scores [n]); of valid and of test all rows or none.
        draws: bootstrap resamples of users behind each 95 % interval.
        seed: of the bootstrap.
        reference: the system whose paired differences to every other go to differences.json.
        reasons: name of the system -> `text_metrics` of its generated reasons.
        seeds: name of the system -> seed -> as in `scores`, of trainings with other seeds than the first.

    Raises:
        DataError: rows that are not whole splits.
        ModelError: scores that are not finite.
        ValueError: a system bears the name of a floor or ceiling, or the reference or a system with several
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
    evaluation, found = measure(systems, others, draws, seed)
    breakdown = load_breakdown(layout, data)
    further = evaluate_slices(systems, draws, seed, breakdown.names("test"), breakdown.slice)
    best = winners(evaluation) | winners(further)
    apart = differences(evaluation, reference) if reference else {}
    metrics: dict[str, Any] = found | ({REASONS: dict(reasons)} if reasons else {})
    save_predictions(layout, systems, evaluation, others)
    write_plots(layout, systems)
    about = {"reference": reference, "draws": draws, "seed": seed}
    write_json(layout.differences, {**about, "slices": apart, "best": best})
    write_json(layout.slices, further.metrics)
    write_json(layout.metrics, metrics)
    return Results(metrics, further.metrics, best, apart, reference, smoothing, draws, seed)

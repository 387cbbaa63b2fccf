"""From scores to everything that is written about them, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError
from thinkrec.files import write_json
from thinkrec.layout import Layout
from thinkrec.metrics.floors import CEILING, ceiling, floors
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.slices import differences, evaluate_slices
from thinkrec.reports.kinds import REASONS, TRUTH, kind
from thinkrec.reports.plots import write_plots
from thinkrec.reports.predictions import save_predictions


@dataclass(frozen=True)
class Results:
    """What `write_results` measured.

    Args:
        metrics: content of metrics.json: system -> slice -> numbers; `reasons` -> system -> text metrics.
        differences: slice -> other system -> metric -> {difference, low, high} of `reference` to it.
        reference: the system whose differences were taken, None where it was not given.
        smoothing: weights of the global share that the floors chose on valid.
        draws, seed: of the bootstrap over users.
    """

    metrics: dict[str, Any]
    differences: dict[str, Any]
    reference: str | None
    smoothing: dict[str, list[float]]
    draws: int
    seed: int


def _truth(layout: Layout, data: Interactions, rows: np.ndarray) -> np.ndarray:
    """Log-odds of the true like probabilities of `rows`, [n]."""
    table = pq.read_table(layout.truth, columns=["user_id", "position", "probability"])
    user, position = table["user_id"].to_numpy(), table["position"].to_numpy()
    row = (np.searchsorted(data.user_id, user) + position).clip(max=len(data) - 1)
    found = (data.user_id[row] == user) & (data.position[row] == position)
    known = np.full(len(data), np.nan)
    known[row[found]] = table["probability"].to_numpy()[found]
    share = known[rows]
    if np.isnan(share).any():
        raise DataError(
            f"{layout.truth}: no probability for {int(np.isnan(share).sum())} of the {len(rows)} valid and "
            f"test rows; `thinkrec prep --dataset {layout.dataset}` makes it anew"
        )
    share = share.clip(1e-6, 1 - 1e-6)
    return np.log(share / (1 - share))


def _bounds(layout: Layout, data: Interactions) -> tuple[dict[str, Predictions], dict[str, list[float]]]:
    """Floors and ceilings of all valid and test rows, and the floors' smoothing."""
    rows = np.concatenate([data.rows("valid"), data.rows("test")])
    scores, smoothing = floors(data, rows)
    scores[CEILING] = ceiling(data, rows)
    if layout.truth.exists() and pq.read_metadata(layout.truth).num_rows:
        scores[TRUTH] = _truth(layout, data, rows)
    return {name: Predictions.of(data, rows, each, name) for name, each in scores.items()}, smoothing


def write_results(
    layout: Layout,
    data: Interactions,
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]],
    draws: int,
    seed: int,
    reference: str | None = None,
    reasons: Mapping[str, Mapping[str, Any]] | None = None,
) -> Results:
    """Measure all systems beside floors and ceilings; write predictions, metrics.json, differences and plots.

    Args:
        layout: where the files go.
        data: all interactions.
        scores: name of the system -> (row numbers [n], scores [n]); of valid and of test all rows or none.
        draws: bootstrap resamples of users behind each 95 % interval.
        seed: of the bootstrap.
        reference: the system whose paired differences to every other go to differences.json.
        reasons: name of the system -> `text_metrics` of its generated reasons.

    Raises:
        DataError: scores that are no numbers, or rows that are not whole splits.
        ValueError: a system bears the name of a floor or ceiling, or the reference was not scored.
    """
    taken = sorted(name for name in scores if kind(name) != "system" or name == REASONS)
    if taken:
        raise ValueError(f"{', '.join(taken)}: names of floors, ceilings and reasons can't be a system's")
    if reference is not None and reference not in scores:
        raise ValueError(f"reference {reference!r} is none of the systems {', '.join(scores)}")
    bounds, smoothing = _bounds(layout, data)
    systems = {name: Predictions.of(data, *each, name) for name, each in scores.items()} | bounds
    evaluation = evaluate_slices(systems, draws, seed)
    apart = differences(evaluation, reference) if reference else {}
    metrics: dict[str, Any] = dict(evaluation.metrics) | ({REASONS: dict(reasons)} if reasons else {})
    save_predictions(layout, systems, evaluation)
    write_plots(layout, systems)
    write_json(layout.differences, {"reference": reference, "draws": draws, "seed": seed, "slices": apart})
    write_json(layout.metrics, metrics)
    return Results(metrics, apart, reference, smoothing, draws, seed)

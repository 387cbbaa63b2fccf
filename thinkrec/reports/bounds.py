"""Floors, ceilings and user groups of a data set, for its evaluation."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError
from thinkrec.layout import Layout
from thinkrec.metrics.breakdown import Breakdown
from thinkrec.metrics.floors import CEILING, ceiling, floors
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.running import MINUS_RUNNING_MEAN, running_mean
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import TRUTH


def _truth(layout: Layout, data: Interactions, rows: np.ndarray) -> np.ndarray:
    """Compute the log-odds of the true like probabilities of `rows`, [n]."""
    table = pq.read_table(layout.truth, columns=["user_id", "position", "probability"])
    row = data.row_of(table["user_id"].to_numpy(), table["position"].to_numpy())
    probability = np.full(len(data), np.nan)
    probability[row[row >= 0]] = table["probability"].to_numpy()[row >= 0]
    share = probability[rows]
    if np.isnan(share).any():
        raise DataError(
            f"{layout.truth}: no probability for {int(np.isnan(share).sum())} of the {len(rows)} valid and "
            f"test rows; `thinkrec prep --dataset {layout.dataset}` makes it again"
        )
    share = share.clip(1e-6, 1 - 1e-6)
    return np.log(share / (1 - share))


def bounds(
    layout: Layout, data: Interactions, protocol: Protocol
) -> tuple[dict[str, Predictions], dict[str, list[float]]]:
    """Compute floors and ceilings of all valid and test rows, and the floors' smoothing.

    Under rolling histories `minus_running_mean` is a floor as well.
    """
    rows = np.concatenate([data.rows("valid"), data.rows("test")])
    scores, smoothing = floors(data, rows)
    if protocol == "rolling":
        scores[MINUS_RUNNING_MEAN] = -running_mean(data, rows, protocol)
    scores[CEILING] = ceiling(data, rows)
    if layout.truth.exists() and pq.read_metadata(layout.truth).num_rows:
        scores[TRUTH] = _truth(layout, data, rows)
    return {name: Predictions.of(data, rows, each, name) for name, each in scores.items()}, smoothing


def load_breakdown(layout: Layout, data: Interactions) -> Breakdown:
    """Load the further slices of a data set, including groups of users if the stage cluster has run."""
    path = layout.clusters / "groups.parquet"
    if not path.exists():
        return Breakdown.of(data)
    table = pq.read_table(path, columns=["user_id", "group"])
    group = np.zeros(data.users + 1, dtype=np.int64)
    user = table["user_id"].to_numpy()
    known = user <= data.users
    group[user[known]] = table["group"].to_numpy()[known]
    return Breakdown.of(data, group)

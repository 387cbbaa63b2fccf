"""Means of values per row, with intervals over users, of all rows and of those with hinted references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkrec.metrics.bootstrap import mean_interval
from thinkrec.metrics.ranking import rounded

Score = dict[str, Any]
SPLITS = {"hinted": True, "unhinted": False}


@dataclass(frozen=True)
class Values:
    """A metric's values before they are averaged. Shapes: n rows.

    Args:
        value: [n] float; NaN where the metric is not defined.
        weight: [n], how much each row counts; None: each the same.
        nothing: why there is no value where no row defines one.
    """

    value: np.ndarray
    weight: np.ndarray | None = None
    nothing: str = "no row defines it"


def absent(reason: str) -> Score:
    """Return a stated absence: never a 0."""
    return {"value": None, "reason": reason}


def summary(found: Values, user: np.ndarray, draws: int, seed: int) -> Score:
    """Average over rows, with the 95 % interval of a bootstrap over users.

    Returns:
        {value, low, high, rows, users}, of the rows that define the metric; without any {value: None, reason,
        rows: 0, users: 0}.
    """
    kept = ~np.isnan(found.value)
    weight = np.ones(len(kept)) if found.weight is None else found.weight.astype(np.float64)
    kept &= weight > 0
    if not kept.any():
        return absent("no pair of texts" if len(kept) == 0 else found.nothing) | {"rows": 0, "users": 0}
    value, weight = found.value[kept], weight[kept]
    users, index = np.unique(user[kept], return_inverse=True)
    total = np.bincount(index, weights=value * weight)
    rows = np.bincount(index, weights=weight)
    low, high = mean_interval(total, rows, draws, seed) or (None, None)
    return {
        "value": rounded(float(total.sum() / rows.sum())),
        "low": rounded(low),
        "high": rounded(high),
        "rows": len(value),
        "users": len(users),
    }


def split_summary(
    found: Values, user: np.ndarray, hinted: Sequence[bool | None], draws: int, seed: int
) -> Score:
    """Summarise all rows, and under `hinted` and `unhinted` those whose reference came (not) after a hint.

    A part without rows is left out. Values stay as they are: what counts texts counts among all.
    """
    score = summary(found, user, draws, seed)
    for name, wanted in SPLITS.items():
        rows = np.array([each is wanted for each in hinted], dtype=bool)
        if rows.any():
            weight = None if found.weight is None else found.weight[rows]
            part = Values(found.value[rows], weight, found.nothing)
            score[name] = summary(part, user[rows], draws, seed)
    return score

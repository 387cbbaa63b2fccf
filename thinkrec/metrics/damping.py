"""Damping of the part of a score that follows the user's latest feedback."""

from __future__ import annotations

import numpy as np

from thinkrec.metrics.ranking import ranking_metrics

DAMPING_GRID = np.arange(10) / 10


def best_damping(user: np.ndarray, label: np.ndarray, full: np.ndarray, damped: np.ndarray) -> float:
    """Choose the damping at which (1 - damping) * full + damping * damped has the highest AUC + UAUC.

    Args:
        user, label: of the rows, [n].
        full: scores with the whole feedback term, [n].
        damped: scores without it, [n].

    Returns:
        A value of DAMPING_GRID, the smallest in case of a tie.

    Source: our choice.
    """

    def objective(damping: float) -> float:
        metrics = ranking_metrics(user, label, (1 - damping) * full + damping * damped)
        return (metrics.auc or 0.0) + (metrics.values["uauc"] or 0.0)

    return float(max(DAMPING_GRID, key=objective))

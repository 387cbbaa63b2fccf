"""How much of a score may move with the user's latest verdicts."""

from __future__ import annotations

import numpy as np

from thinkrec.metrics.ranking import ranking_metrics

SHARES = np.arange(10) / 10
"""Shares tried for the part of a score that a user's latest verdicts move less."""


def steadiest(user: np.ndarray, label: np.ndarray, moving: np.ndarray, still: np.ndarray) -> float:
    """The share of `still` at which (1 - share) x moving + share x still has the highest AUC + UAUC.

    Args:
        user, label: of rows, [n].
        moving: scores that follow the user's verdicts so far, [n].
        still: the same without what moves most of it, [n].

    Returns:
        One of SHARES, the smallest of equals.

    Source: our choice.
    """

    def both(share: float) -> float:
        found = ranking_metrics(user, label, (1 - share) * moving + share * still)
        return (found.auc or 0.0) + (found.values["uauc"] or 0.0)

    return float(max(SHARES, key=both))

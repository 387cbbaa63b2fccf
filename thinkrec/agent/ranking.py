"""Ranks of the held-out items by scoring systems, and metrics of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkrec.agent.cases import Case
from thinkrec.agent.knowledge import Knowledge
from thinkrec.data.moments import DAY
from thinkrec.errors import ModelError
from thinkrec.metrics.bootstrap import mean_interval
from thinkrec.metrics.ranking import discounts, range_sum

CUTS = (1, 5, 10)
PRIOR = 5.0  # pseudo-count by which an item's share of likes is smoothed towards the mean


def candidates_of(cases: Sequence[Case]) -> np.ndarray:
    """Return the candidates in the order shown, [n, K] item ids."""
    return np.array([case.items for case in cases])


def ranks(scores: np.ndarray, cases: Sequence[Case]) -> np.ndarray:
    """Return best and worst rank of the held-out items among ties, from 1, [n, 2] int64.

    Args:
        scores: of the candidates, [n, K]; -inf ranks last.
        cases: n cases.

    Raises:
        ModelError: a score is NaN or +inf.
    """
    if (np.isnan(scores) | np.isposinf(scores)).any():
        raise ModelError("some scores of candidates are NaN or infinite: train the system again")
    own = scores[np.arange(len(cases)), [case.target for case in cases]][:, None]
    return np.stack([1 + (scores > own).sum(1), (scores >= own).sum(1)], axis=1)


def counting_scores(knowledge: Knowledge, cases: Sequence[Case], days: int) -> dict[str, np.ndarray]:
    """Return scores that count interactions before each moment, [n, K] each.

    Returns:
        popularity: interactions with the item. recent_popularity: those of the last `days`. item_mean: share
        of likes, smoothed towards the mean of train.
    """
    data = knowledge.data
    train = data.rows("train")
    mean = float(data.label[train].mean()) if len(train) else 0.5
    scores = np.zeros((3, len(cases), len(cases[0].items)))
    for n, case in enumerate(cases):
        for k, item in enumerate(case.items):
            rows = knowledge.interactions_with(item, case.moment)
            recent = (data.timestamp[rows] >= case.moment - days * DAY).sum()
            likes = data.label[rows].sum()
            scores[:, n, k] = len(rows), recent, (likes + PRIOR * mean) / (len(rows) + PRIOR)
    return dict(zip(("popularity", "recent_popularity", "item_mean"), scores, strict=True))


@dataclass(frozen=True)
class Measures:
    """Ranking metrics of each case, [n] each.

    Args:
        values: ndcg@1, ndcg@5, ndcg@10, mrr.
    """

    values: dict[str, np.ndarray]

    @classmethod
    def of(cls, ranks: np.ndarray) -> Measures:
        """Return the metrics of ranks [n, 2]; tied candidates get the mean over the ranks they share."""
        gains = {f"ndcg@{k}": discounts(k) for k in CUTS} | {"mrr": 1 / np.arange(1, ranks.max() + 1)}
        best, worst = ranks.T
        tied = worst - best + 1
        return cls({name: range_sum(gain, best - 1, tied) / tied for name, gain in gains.items()})

    def among(self, members: np.ndarray) -> Measures:
        """Return the metrics of some cases, given as a mask [n]."""
        return Measures({name: value[members] for name, value in self.values.items()})

    def entry(self, draws: int, seed: int) -> dict[str, Any]:
        """Return means with 95% bootstrap intervals over cases, one per user."""
        summary: dict[str, Any] = {"cases": len(self.values["mrr"])}
        for name, value in self.values.items():
            summary[name] = round(float(value.mean()), 4)
            summary[f"{name}_interval"] = interval(value, draws, seed)
        return summary


def interval(values: np.ndarray, draws: int, seed: int) -> list[float]:
    """Return the 95% bootstrap interval of the mean over cases, one per user; empty if undefined."""
    ends = mean_interval(values, np.ones(len(values)), draws, seed)
    return [round(end, 4) for end in ends or ()]


def difference(own: np.ndarray, other: np.ndarray, draws: int, seed: int) -> dict[str, Any]:
    """Return the mean of the paired differences and its 95% interval."""
    gap = own - other
    return {"ndcg@10": round(float(gap.mean()), 4), "interval": interval(gap, draws, seed)}

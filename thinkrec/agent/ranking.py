"""Ranks of the held-out items by systems that only score, and what ranks are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thinkrec.agent.cases import Case
from thinkrec.agent.knowledge import Knowledge
from thinkrec.data.moments import DAY
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.metrics.bootstrap import mean_interval
from thinkrec.metrics.ranking import discounts, range_sum

CUTS = (1, 5, 10)
PRIOR = 5.0  # people that an item's like share is drawn towards the mean by


def candidates_of(cases: Sequence[Case]) -> np.ndarray:
    """Candidates in the order shown, [n, K] item ids."""
    return np.array([case.items for case in cases])


def ranks(scores: np.ndarray, cases: Sequence[Case]) -> np.ndarray:
    """Best and worst rank of the held-out item among ties, from 1, by scores [n, K]: [n, 2] int64.

    Raises:
        ModelError: a score is no number.
    """
    if (np.isnan(scores) | np.isposinf(scores)).any():  # -inf: not ranked
        raise ModelError("some scores of candidates are no numbers: train the system again")
    own = scores[np.arange(len(cases)), [case.target for case in cases]][:, None]
    return np.stack([1 + (scores > own).sum(1), (scores >= own).sum(1)], axis=1)


def counting_scores(knowledge: Knowledge, cases: Sequence[Case], days: int) -> dict[str, np.ndarray]:
    """Scores by what is counted before each moment, [n, K] each.

    Returns:
        popularity: people who met the item. recent_popularity: those of the last `days`. item_mean: share
        of likes, drawn towards the mean of train.
    """
    data = knowledge.data
    train = data.rows("train")
    mean = float(data.label[train].mean()) if len(train) else 0.5
    found = np.zeros((3, len(cases), len(cases[0].items)))
    for n, case in enumerate(cases):
        for k, item in enumerate(case.items):
            rows = knowledge.met_by(item, case.moment)
            late = (data.timestamp[rows] >= case.moment - days * DAY).sum()
            likes = data.label[rows].sum()
            found[:, n, k] = len(rows), late, (likes + PRIOR * mean) / (len(rows) + PRIOR)
    return dict(zip(("popularity", "recent_popularity", "item_mean"), found, strict=True))


def asked_instead(data: Interactions, cases: Sequence[Case], place: int) -> Interactions:
    """The same interactions, but with each case's candidate at `place` in place of its held-out item."""
    items = data.item_id.copy()
    items[[case.row for case in cases]] = candidates_of(cases)[:, place]
    return replace(data, item_id=items)


@dataclass(frozen=True)
class Measures:
    """What ranks are worth, one value a case, [n] each.

    Args:
        values: ndcg@1, ndcg@5, ndcg@10, mrr.
    """

    values: dict[str, np.ndarray]

    @classmethod
    def of(cls, ranks: np.ndarray) -> Measures:
        """Measure ranks [n, 2]; where several candidates are tied, by the mean over the ranks they share."""
        worth = {f"ndcg@{k}": discounts(k) for k in CUTS} | {"mrr": 1 / np.arange(1, ranks.max() + 1)}
        best, worst = ranks.T
        tied = worst - best + 1
        return cls({name: range_sum(each, best - 1, tied) / tied for name, each in worth.items()})

    def among(self, members: np.ndarray) -> Measures:
        """Those of some cases, a mask [n]."""
        return Measures({name: value[members] for name, value in self.values.items()})

    def entry(self, draws: int, seed: int) -> dict[str, Any]:
        """Means with 95 % intervals by bootstrap over cases, one a user."""
        found: dict[str, Any] = {"cases": len(self.values["mrr"])}
        for name, value in self.values.items():
            found[name] = round(float(value.mean()), 4)
            found[f"{name}_interval"] = interval(value, draws, seed)
        return found


def interval(values: np.ndarray, draws: int, seed: int) -> list[float]:
    """95 % interval of the mean by bootstrap over cases, one a user."""
    found = mean_interval(values, np.ones(len(values)), draws, seed)
    return [round(end, 4) for end in found or ()]


def difference(own: np.ndarray, other: np.ndarray, draws: int, seed: int) -> dict[str, Any]:
    """Mean of the paired differences, and its 95 % interval."""
    gap = own - other
    return {"ndcg@10": round(float(gap.mean()), 4), "interval": interval(gap, draws, seed)}

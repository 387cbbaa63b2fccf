"""Ranks, what they are worth, and their intervals, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from agent_by_hand import case_at

from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.ranking import Measures, counting_scores, difference, interval, ranks
from thinkrec.errors import ModelError


@pytest.mark.parametrize(
    ("scores", "rank"),
    [
        ([1, 3, 2], [1, 1]),
        ([3, 1, 2], [3, 3]),
        ([2, 2, 1], [1, 2]),
        ([2, 2, 2], [1, 3]),
        ([3, 2, 2], [2, 3]),
        ([-np.inf, -np.inf, 0], [2, 3]),
    ],
)
def test_rank_of_the_held_out_item(scores: list[float], rank: list[int]) -> None:
    """It is the second one; its best and worst rank among ties."""
    assert ranks(np.array([scores, [0.0, 1, 0]]), [case_at(), case_at()]).tolist() == [rank, [1, 1]]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ModelError, match="some scores of candidates are NaN or infinite"):
        ranks(np.array([[1.0, np.nan, 0]]), [case_at()])


def test_measures() -> None:
    found = Measures.of(np.array([[1, 1], [3, 3], [10, 10], [11, 11], [1, 2]])).values
    halfway = (1 + 1 / np.log2(3)) / 2
    expected = {
        "ndcg@1": [1, 0, 0, 0, 0.5],
        "ndcg@5": [1, 0.5, 0, 0, halfway],
        "ndcg@10": [1, 0.5, 1 / np.log2(11), 0, halfway],
        "mrr": [1, 1 / 3, 0.1, 1 / 11, 0.75],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values)


def test_ties_are_worth_what_random_orders_of_them_are() -> None:
    rng = np.random.default_rng(0)
    tied = Measures.of(np.array([[1, 10], [3, 6]])).values
    drawn = np.stack([rng.integers(1, 11, 200_000), rng.integers(3, 7, 200_000)])
    for name, value in tied.items():
        for own, ranks_ in zip(value, drawn, strict=True):
            assert own == pytest.approx(Measures.of(np.stack([ranks_] * 2, 1)).values[name].mean(), abs=3e-3)
    assert tied["ndcg@1"].tolist() == [0.1, 0]


def test_among() -> None:
    found = Measures.of(np.array([[1, 1], [2, 2], [4, 4]])).among(np.array([True, False, True]))
    assert found.values["mrr"] == pytest.approx([1, 0.25])


def test_entry() -> None:
    assert Measures.of(np.array([[2, 2]] * 3)).entry(100, 0) == {
        "cases": 3, "ndcg@1": 0, "ndcg@1_interval": [0, 0], "ndcg@5": 0.6309,
        "ndcg@5_interval": [0.6309, 0.6309], "ndcg@10": 0.6309, "ndcg@10_interval": [0.6309, 0.6309],
        "mrr": 0.5, "mrr_interval": [0.5, 0.5],
    }  # fmt: skip


@pytest.mark.parametrize("values", [[0.25], [0.25, 0.25, 0.25]])
def test_interval_of_one_value_is_that_value(values: list[float]) -> None:
    assert interval(np.array(values), 100, 0) == [0.25, 0.25]


def test_interval() -> None:
    """Half of 400 cases: the mean's deviation is 0.025."""
    values = np.tile([0.0, 1.0], 200)
    low, high = interval(values, 2000, 1)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.006)
    assert [low, high] == interval(values, 2000, 1)


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    own = rng.random(200)
    assert difference(own, own - 0.125, 100, 0) == {"ndcg@10": 0.125, "interval": [0.125, 0.125]}


def test_counting_scores(knowledge: Knowledge) -> None:
    """Train, until day 60, has 5 likes in 7 rows."""
    found = counting_scores(knowledge, [case_at()], 30)
    mean = 5 / 7
    assert found["popularity"].tolist() == [[1, 2, 1]]
    assert found["recent_popularity"].tolist() == [[1, 1, 0]]
    assert found["item_mean"][0] == pytest.approx([(1 + 5 * mean) / 6, (1 + 5 * mean) / 7, 5 * mean / 6])

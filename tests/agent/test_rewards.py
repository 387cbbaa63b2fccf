"""The three rewards by hand."""

from __future__ import annotations

from typing import Any

import pytest

from thinkrec.agent.environment import error_text
from thinkrec.agent.rewards import efficiency, episode_rewards, ndcg

NOTHING = {"ndcg": 0.0, "format": 0.0, "efficiency": 0.0}


@pytest.mark.parametrize(
    ("rank", "k", "value"),
    [(1, 10, 1), (2, 10, 0.6309), (3, 10, 0.5), (7, 10, 1 / 3), (10, 10, 0.2891), (11, 10, 0), (2, 1, 0)],
)
def test_ndcg(rank: int, k: int, value: float) -> None:
    assert ndcg(rank, k) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("calls", "wasted", "value"), [(0, 0, 1), (1, 0, 0.75), (2, 1, 0.25), (4, 0, 0), (9, 9, 0)]
)
def test_efficiency(calls: int, wasted: int, value: float) -> None:
    assert efficiency(calls, wasted, 4) == value


def said(content: str, calls: int = 0) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [{}] * calls}


def told(content: str) -> dict[str, Any]:
    return {"role": "tool", "name": "x", "content": content}


def test_an_episode() -> None:
    messages = [
        {"role": "user", "content": "Rank"}, said("", 2), told("Liked"), told(error_text("no")),
        said("Ranking: B C A"),
    ]  # fmt: skip
    assert episode_rewards(messages, "ABC", 2, 10) == {
        "ndcg": pytest.approx(0.6309, abs=1e-4), "format": 1, "efficiency": 0.7
    }  # fmt: skip
    assert episode_rewards(messages, "ABC", 2, 10) == episode_rewards(messages[1:], "ABC", 2, 10)


@pytest.mark.parametrize("error", ["no tool", "there is no candidate 'Z'", "both ' and \""])
def test_trls_form_of_errors_is_wasted_too(error: str) -> None:
    """TRL's trainer writes an error as Python's text of a dict, not as JSON."""
    messages = [said("", 1), told(str({"error": error})), said("Ranking: A B C")]
    assert episode_rewards(messages, "ABC", 0, 4)["efficiency"] == 0.5


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "Ranking: A B C"}],
        [said("Ranking: A B C"), told("Ranking: A B C")],
        [said("Ranking: A B")],
        [said("Ranking: A B C D")],
        [said("A B C")],
        [{"role": "assistant", "content": None}],
    ],
)
def test_without_a_valid_answer_nothing(messages: list[dict[str, Any]]) -> None:
    assert episode_rewards(messages, "ABC", 0, 4) == NOTHING

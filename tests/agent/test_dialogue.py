"""How an answer is read, and what is said first."""

from __future__ import annotations

import pytest
from agent_by_hand import case_at

from thinkrec.agent.dialogue import first_message, malformed, no_ranking, read_ranking
from thinkrec.agent.knowledge import Knowledge


@pytest.mark.parametrize(
    "content",
    [
        "Ranking: B C A",
        "Ranking:B C A",
        "  Ranking: B, C, A.",
        "Ranking: B > C > A",
        "Ranking: B>C,A  ",
        "I like A.\nSo it is.\nRanking: B C A\nThat was it.",
    ],
)
def test_valid_answers(content: str) -> None:
    found = read_ranking(content, "ABC")
    assert found is not None
    assert (found.order, found.valid, found.completed) == ((1, 2, 0), True, 0)
    assert [found.rank(place) for place in range(3)] == [3, 1, 2]


@pytest.mark.parametrize(
    ("content", "order", "completed"),
    [
        ("Ranking: C", (2, 0, 1), 2),
        ("Ranking: C C A C B", (2, 0, 1), 0),
        ("Ranking: C A B D", (2, 0, 1), 0),
        ("Ranking: C and A", (2, 0, 1), 1),
        ("Ranking: CAB", (0, 1, 2), 3),
        ("Ranking: c a b", (0, 1, 2), 3),
        ("Ranking: 3 1 2", (0, 1, 2), 3),
        ("Ranking:", (0, 1, 2), 3),
        ("Ranking:\nC A B", (0, 1, 2), 3),
        ("Ranking: 1. C 2. A 3. B", (2, 0, 1), 0),
        ("Ranking: A B C\nRanking: C A B", (2, 0, 1), 0),
        ("Ranking: A B C\nNo.\nRanking: C", (2, 0, 1), 2),
    ],
)
def test_other_answers_are_completed(content: str, order: tuple[int, ...], completed: int) -> None:
    found = read_ranking(content, "ABC")
    assert found is not None
    assert (found.order, found.valid, found.completed) == (order, False, completed)


@pytest.mark.parametrize("content", ["", "A B C", "ranking: A B C", "My Ranking: A B C", '"Ranking: A B C"'])
def test_no_answer(content: str) -> None:
    assert read_ranking(content, "ABC") is None
    found = no_ranking("ABC")
    assert (found.order, found.valid, found.completed) == ((0, 1, 2), False, 3)


@pytest.mark.parametrize(
    ("content", "broken"),
    [("<tool_call>{", True), ("x</tool_call>", True), ("<tool call>", False), ("Ranking: A", False)],
)
def test_malformed(content: str, broken: bool) -> None:
    assert malformed(content) == broken


CANDIDATES = """\
Rank the candidates below by how likely this user is to like each of them next.
A "Eraserhead"
B "Dune"
C "Fargo"
"""
END = "End with one line: the word Ranking, a colon, and all letters, best first."


@pytest.mark.parametrize(
    ("shown", "turns", "tools", "answers", "middle"),
    [
        (2, 3, True, [],
         'The user\'s latest interactions, newest first: liked "Casablanca"; disliked "Brazil".\n'
         "Say what information is missing and call tools, in at most 3 turns. Then answer.\n"),
        (0, 3, False, [("get_item", "x")], "get_item: x\n"),
        (0, 1, False, [], ""),
    ],
)  # fmt: skip
def test_first_message(
    knowledge: Knowledge, shown: int, turns: int, tools: bool, answers: list[tuple[str, str]], middle: str
) -> None:
    found = first_message(knowledge, case_at(), shown, turns, tools, answers)
    assert found == {"role": "user", "content": f"{CANDIDATES}{middle}{END}"}

"""The loop that every teacher goes through, and the filter behind it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from thinkrec.teachers.filter import hint_leak
from thinkrec.teachers.protocol import Answer, Case, ItemView, Turn
from thinkrec.teachers.reflect import HINTS, REMINDER, reason_with

CASE = Case((), ItemView("Target"), "1:0")


class Scripted:
    """Gives prepared answers and keeps what it was told."""

    name = "scripted"
    concurrency = 1

    def __init__(self, *answers: tuple[bool | None, str]) -> None:
        self.answers = answers
        self.turns: Sequence[Turn] = ()

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        self.turns = turns
        verdict, text = self.answers[len(turns)]
        return Answer(verdict, text, text, f"hash {len(turns)}")


def test_agreement_at_once_needs_no_hint() -> None:
    found = reason_with(Scripted((True, "It  fits.")), CASE, True, 3, 0)
    assert (found.text, found.attempts, found.hinted, found.rejected) == ("Yes. It fits.", 1, False, None)
    assert found.agreed and found.answer.request_hash == "hash 0"


def test_a_wrong_answer_is_hinted_until_it_agrees_and_the_last_is_kept() -> None:
    teacher = Scripted((True, "a"), (True, "b"), (False, "c"))
    found = reason_with(teacher, CASE, False, 5, 0)
    assert (found.text, found.attempts, found.hinted, found.rejected) == ("No. c", 3, True, None)
    assert not found.agreed and found.answer.request_hash == "hash 2"
    assert [turn.truth for turn in teacher.turns] == [False, False]
    assert all(" No" in turn.reply for turn in teacher.turns)


def test_hints_vary_by_seed_and_row() -> None:
    def first_hint(seed: int) -> str:
        teacher = Scripted((True, "a"), (False, "b"))
        reason_with(teacher, CASE, False, 2, seed)
        return teacher.turns[0].reply

    assert first_hint(3) == first_hint(3)
    assert len({first_hint(seed) for seed in range(40)}) == len(HINTS)


def test_one_that_never_agrees_is_rejected_with_its_own_verdict() -> None:
    found = reason_with(Scripted((True, "a"), (True, "b")), CASE, False, 2, 0)
    assert (found.text, found.attempts, found.rejected) == ("Yes. b", 2, "disagrees with the label")


def test_a_single_attempt_is_never_hinted() -> None:
    found = reason_with(Scripted((True, "a")), CASE, False, 1, 0)
    assert not found.hinted and found.rejected == "disagrees with the label"


def test_garbage_is_asked_again_without_giving_the_truth_away() -> None:
    teacher = Scripted((None, "Hm."), (True, "It fits."))
    found = reason_with(teacher, CASE, True, 3, 0)
    assert found.agreed and not found.hinted and found.attempts == 2 and found.rejected is None
    assert teacher.turns[0].reply == REMINDER and teacher.turns[0].truth is None


def test_garbage_to_the_end_is_no_verdict_and_a_bare_verdict_no_reasoning() -> None:
    found = reason_with(Scripted((None, "Hm."), (None, "")), CASE, True, 2, 0)
    assert (found.text, found.rejected) == ("", "no verdict")
    assert reason_with(Scripted((True, "")), CASE, True, 2, 0).rejected == "no reasoning"
    assert reason_with(Scripted((True, "")), CASE, False, 1, 0).rejected == "no reasoning"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Since the correct answer is Yes, it fits.", "names the given answer"),
        ("Given that the user liked it, the space theme matters.", "names the given answer"),
        ("Because they actually disliked this movie, horror is out.", "names the given answer"),
        ("It turns out that the user did enjoy it.", "names the given answer"),
        ("The ground truth says so.", "names the given answer"),
        ("As you told me, it fits.", "refers to the conversation"),
        ("You are right, the comedies matter.", "refers to the conversation"),
        ("Following your hint, it fits.", "refers to the conversation"),
        ("My earlier assessment gave space too little weight.", "revises an earlier answer"),
        ("I overlooked the comedies.", "revises an earlier answer"),
        ("Upon reflection it fits.", "revises an earlier answer"),
        ("I was wrong about horror.", "revises an earlier answer"),
    ],
)
def test_leaks_of_the_hint_are_found(text: str, reason: str) -> None:
    assert hint_leak(text) == reason
    assert reason_with(Scripted((True, text)), CASE, True, 1, 0).rejected == reason


@pytest.mark.parametrize(
    "text",
    [
        "Given that the user liked 'Alien' and 'Solaris', the space theme should please.",
        "Since they disliked horror twice, this one is a risk.",
        "The user likes a correct period setting and a true story.",
        "They liked 7 of their latest 10 items.",
        "The first film of the series pleased them; the right mood is there.",
    ],
)
def test_honest_reasons_pass(text: str) -> None:
    assert hint_leak(text) is None


def test_a_quoted_title_leaks_nothing() -> None:
    assert hint_leak('They liked "The Right Answer".') is not None
    assert hint_leak('They liked "The Right Answer".', ["The Right Answer"]) is None

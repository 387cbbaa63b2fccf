"""The built-in teacher: its verdict follows the evidence, its words name it."""

from __future__ import annotations

from itertools import product

import pytest

from thinkrec.teachers.evidence import weigh
from thinkrec.teachers.filter import hint_leak
from thinkrec.teachers.protocol import Case, ItemView, Rated
from thinkrec.teachers.reflect import reason_with
from thinkrec.teachers.template import TemplateTeacher, argue

TARGET = ItemView("Target", ("space", "robot"))


def case(*history: tuple[str, str, bool], target: ItemView = TARGET, key: str = "1:3") -> Case:
    seen = tuple(Rated(ItemView(title, tuple(words.split())), liked) for title, words, liked in history)
    return Case(seen, target, key)


LIKES_SPACE = case(("Alien", "space horror", True), ("Solaris", "space", True), ("Cube", "horror", False))
AVOIDS_SPACE = case(("Alien", "space", False), ("Solaris", "Robot", False), ("Emma", "romance", True))
NOTHING_SHARED = case(("Emma", "romance", True), ("Dune", "sand", True), ("Heat", "crime", False))


def test_a_keyword_of_liked_items_makes_a_yes_that_names_them() -> None:
    answer = TemplateTeacher(1).answer(LIKES_SPACE, ())
    assert answer.verdict is True
    assert '"Alien" (space)' in answer.reasoning and '"Solaris" (space)' in answer.reasoning
    assert "Cube" not in answer.reasoning


def test_keywords_of_disliked_items_make_a_no_whatever_their_case() -> None:
    answer = TemplateTeacher(1).answer(AVOIDS_SPACE, ())
    assert answer.verdict is False
    assert '"Alien" (space)' in answer.reasoning and '"Solaris" (robot)' in answer.reasoning


def test_where_nothing_matches_the_habit_decides() -> None:
    answer = TemplateTeacher(1).answer(NOTHING_SHARED, ())
    assert answer.verdict is True
    assert "liked 2 of their latest 3 items" in answer.reasoning


def test_the_hint_brings_arguments_of_the_other_side_and_no_leak_of_the_hint() -> None:
    mixed = case(("Alien", "space", True), ("Solaris", "space", True), ("Moon", "space", False))
    found = reason_with(TemplateTeacher(1), mixed, False, 3, 1)
    assert found.hinted and found.attempts == 2 and not found.agreed and found.rejected is None
    assert found.text.startswith("No. ") and '"Moon" (space)' in found.text


def test_without_evidence_for_the_hint_it_is_modest() -> None:
    found = reason_with(TemplateTeacher(1), NOTHING_SHARED, False, 3, 1)
    assert found.rejected is None and "tastes vary" in found.text
    assert "liked 2 of their latest 3 items" in found.text


def test_odds_are_naive_bayes_with_add_one_smoothing() -> None:
    import math

    # 2 likes of 3; space: in 2 of 2 likes, in 0 of 1 dislikes; robot is in no history item
    expected = math.log(3 / 2) + math.log((3 / 4) / (1 / 3))
    assert weigh(LIKES_SPACE).log_odds == pytest.approx(expected)


HISTORIES = [
    (),
    (("Emma", "romance", True),),
    (("Emma", "romance", False),),
    (("Emma", "", True), ("Dune", "space", True)),
    (("Emma", "space", False), ("Dune", "robot space", True), ("Heat", "robot", False)),
    tuple(
        (f"A rather long title with many words in it, part {k}", "space robot", k % 2 == 0) for k in range(10)
    ),
]


@pytest.mark.parametrize(("history", "verdict"), list(product(HISTORIES, [True, False])))
def test_every_phrasing_is_short_clean_and_leaks_no_hint(history: tuple, verdict: bool) -> None:
    texts = {argue(case(*history, key=str(k)), verdict, str(k)) for k in range(60)}
    assert len(texts) > 3
    for text in texts:
        assert 8 <= len(text.split()) <= 75, text
        assert "{" not in text and "  " not in text and text.endswith(".")
        assert hint_leak(text) is None, text


def test_same_seed_same_words_other_seed_other_words() -> None:
    def texts(seed: int) -> list[str]:
        teacher = TemplateTeacher(seed)
        return [teacher.answer(case(*HISTORIES[4], key=str(k)), ()).reasoning for k in range(20)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_the_request_hash_names_what_was_asked() -> None:
    teacher = TemplateTeacher(1)
    first = teacher.answer(LIKES_SPACE, ()).request_hash
    assert (
        first == teacher.answer(LIKES_SPACE, ()).request_hash != teacher.answer(AVOIDS_SPACE, ()).request_hash
    )
    assert len(first) == 64

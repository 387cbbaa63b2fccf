"""Keywords that reasons give to items, by hand and on the template's texts."""

from __future__ import annotations

import re

import pytest

from thinkrec.metrics.reasons.keywords import Keywords
from thinkrec.metrics.reasons.rules import check
from thinkrec.metrics.reasons.titles import Catalogue
from thinkrec.teachers import template
from thinkrec.teachers.protocol import Case, ItemView, Rated

KEYWORDS = {
    "Alien": ["space", "Crew", "science fiction", "children: young", "dr. who"],
    "Amélie": ["Paris", "love", "like"],
    "Space Jam": ["basketball", "$$"],
    "Dune": ["space", "sand", "fiction", "dr. who"],
    "Dune II": ["the", "worm", "no"],
    "Elsewhere": ["ocean"],
    "Brazil": ["Sand, Space"],
}
HISTORY = (("Alien", True), ("Amélie", False), ("Space Jam", True), ("Dune II", True), ("Brazil", True))


def fits(text: str, keywords: dict[str, list[str]] | None = None) -> bool | None:
    known = KEYWORDS if keywords is None else keywords
    return check(f"Yes. {text}", 1.0, HISTORY, "Dune", Catalogue(list(KEYWORDS)), Keywords(known))[
        "keywords_fit_items"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('The user enjoyed "Alien" (space, crew), so the space of "Dune" should appeal.', True),
        ('They liked "Alien" (sand).', False),
        ('They liked "Alien" (ocean).', False),  # of an item that the prompt does not show
        ('They liked "Alien" (1979, sand dunes).', None),  # no keyword
        ('They liked "Alien" (children young, dr. who), so the dr. who of "Dune" should appeal.', True),
        ('They liked "Space Jam" (space), which "Dune" offers, too.', True),  # a word of the title
        ('They liked "Brazil" ("Sand, Space").', True),  # one keyword
        ('They liked "Nothing" (worm).', None),  # a title that the prompt does not show
        ('"Dune" shares sand with items that the user enjoyed: "Alien" (space).', False),  # not Alien's
        ('"Dune" has sand in it. They liked "Alien" (crew).', True),
        ('"Dune" has Paris in common with "Amélie".', False),  # not the target's
        ('"Dune" shares science fiction with "Alien".', False),  # the longer one is not the target's
        ('"Dune" shares space and Sand with "Alien" and "Dune II".', False),
        ('"Dune" shares space, and worm.', False),
        ('"Dune" has space in common with "Amélie" and "Alien".', True),  # of one of them
        ('This user liked "Alien" (space), and "Dune" offers the same space and ocean.', False),
        ('"Amélie" has Paris.', True),  # its own
        ('"Amélie" has space.', False),
        ('They liked "Alien", so the worm of "Dune" should appeal.', False),
        ("It shares sand.", True),
        ('"Alien" shares crew with "Dune".', False),  # not the target's
        ('"Dune" and "Alien" share crew.', False),
        ('"Alien" and "Dune" share space.', True),
        ('"Amélie" has Paris, and "Dune" has sand.', True),
        ('"Amélie" also has space.', False),
        ('The user has love for what "Alien" shows.', None),
        ('They liked "Alien", so the worm should appeal.', None),  # of nothing
        ("It has the worm.", None),  # judged is what stands right behind the words
        ('They disliked "Alien" (crew), and "Dune" has no crew.', True),  # the bracket
        ('They like worms and Paris, but "Dune" is none.', None),
        ('They love what they like, the target and the end of "Dune".', None),
        ("", None),
    ],
)
def test_keywords_are_of_the_items_they_are_given_to(text: str, expected: bool | None) -> None:
    assert fits(text) is expected


def test_signs_are_no_keyword_of_every_item() -> None:
    assert fits('They liked "Space Jam" ($$).') is True
    assert fits('They liked "Alien" ($$).') is False


def test_items_without_keywords_have_none_to_judge() -> None:
    assert fits('"Dune" has space.', {}) is None


def test_words_of_the_templates_sentences_may_be_keywords() -> None:
    """Each of them, as the keyword of an item that the sentence does not speak of."""
    sentences = [*template.NOTHING, *template.HABIT]
    for both in (template.SUPPORT, template.COUNTER, template.MODEST, template.END):
        sentences += [*both[True], *both[False]]
    words = sorted({word for sentence in sentences for word in re.findall(r"[a-z]+", sentence)} - {"items"})
    items = [ItemView("Alien", ("space",)), ItemView("Dune", ("space", "sand")), ItemView("Heat", ("heist",))]
    judged = 0
    for target in (ItemView("Solaris", ("space", "ocean")), ItemView("Amélie", ("paris",))):
        rated = tuple(Rated(item, liked) for item, liked in zip(items, (True, False, True), strict=True))
        case = Case(rated, target, "")
        keywords = Keywords({item.title: item.keywords for item in (*items, target)} | {"Other": words})
        pairs = tuple((each.item.title, each.liked) for each in rated)
        for variant in range(60):
            for verdict in (True, False):
                text = template.argue(case, verdict, str(variant))
                catalogue = Catalogue([title for title, _ in pairs])
                found = check(text, 1.0, pairs, target.title, catalogue, keywords)["keywords_fit_items"]
                assert found is not False, text
                judged += found is True
    assert judged > 100

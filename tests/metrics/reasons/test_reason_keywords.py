"""Keywords that reasons give to items, by hand."""

from __future__ import annotations

import pytest

from thinkrec.metrics.reasons.rules import check
from thinkrec.metrics.reasons.titles import Catalogue

KEYWORDS = {
    "Alien": ["space", "Crew", "science fiction"],
    "Amélie": ["Paris", "love", "like"],
    "Space Jam": ["basketball", "Sci-Fi, Space"],
    "Dune": ["space", "sand", "fiction"],
    "Dune II": ["the", "worm"],
}
HISTORY = (("Alien", True), ("Amélie", False), ("Space Jam", True), ("Dune II", True))


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('The user enjoyed "Alien" (space, crew), so the space of "Dune" should appeal.', True),
        ('They liked "Alien" (sand).', False),
        ('They liked "Alien" (sand dunes).', None),  # no keyword of the prompt
        ('They liked "Space Jam" (space), which "Dune" offers, too.', True),  # a word of the title
        ('"Dune" shares sand with items that the user enjoyed: "Alien" (space).', False),  # not Alien's
        ('"Dune" has sand in it. They liked "Alien" (crew).', True),
        ('"Dune" has Paris in common with "Amélie".', False),  # not the target's
        ('"Dune" shares science fiction with "Alien".', False),  # the longer one is not the target's
        ('"Dune" shares space and Sand with "Alien" and "Dune II".', False),
        ('"Dune" has space in common with "Amélie" and "Alien".', True),  # of one of them
        ("The sandy film has spaces.", None),
        ('They love what they like, the target and the end of "Dune".', None),
        ("Space and sand appeal.", True),
        ("A worm in space.", False),
        ('They liked "Nothing" (worm).', None),  # a title that the prompt does not show
        ("", None),
    ],
)
def test_keywords_are_of_the_items_they_are_given_to(text: str, fits: bool | None) -> None:
    found = check(f"Yes. {text}", 1.0, HISTORY, "Dune", Catalogue(list(KEYWORDS), KEYWORDS))
    assert found["keywords_fit_items"] is fits


def test_items_without_keywords_have_none_to_judge() -> None:
    found = check('Yes. "Dune" has space.', 1.0, HISTORY, "Dune", Catalogue(list(KEYWORDS)))
    assert found["keywords_fit_items"] is None

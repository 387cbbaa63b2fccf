"""Titles, verdicts, polarity and claims of reasons, by hand and on the template's texts."""

from __future__ import annotations

import pytest

from thinkrec.metrics.reasons.keywords import Keywords
from thinkrec.metrics.reasons.rules import check
from thinkrec.metrics.reasons.titles import Catalogue, Shown, forms, name_titles
from thinkrec.metrics.reasons.truth import Claim, claims_of, polarity, verdict_of
from thinkrec.teachers.protocol import Case, ItemView, Rated
from thinkrec.teachers.template import argue

HISTORY = (
    ("Toy Story (1995)", True),
    ("Heat (1995)", False),
    ("Matrix, The (1999)", True),
    ("Star Wars: Episode IV - A New Hope (1977)", True),
    ("Killing Fields, The (1984)", False),
    ("It (1990)", True),
    ("Amélie", True),
    ("東京物語", False),
)
TARGET = "Blade Runner (1982)"
CATALOGUE = Catalogue(
    [*(title for title, _ in HISTORY), TARGET, "Blade Runner 2049 (2017)", "Love Story (1970)"]
)


def named(text: str):
    return name_titles(text, Shown([title for title, _ in HISTORY], TARGET), CATALOGUE)


def checked(text: str, score: float | None = 1.0) -> list[bool | None]:
    return list(check(text, score, HISTORY, TARGET, CATALOGUE, Keywords({})).values())


def test_a_title_has_several_forms():
    assert forms("Matrix, The (1999)") == ["Matrix, The (1999)", "Matrix, The", "The Matrix"]
    assert forms("Star Wars: Episode IV (1977)")[-1] == "Star Wars"
    assert forms("(1994)") == ["(1994)"] and forms("It") == ["It"]


@pytest.mark.parametrize(
    ("text", "shown", "others"),
    [
        ('"Toy Story" and “The Matrix”', 2, []),
        ('"Star Wars: Episode IV …" and "star wars"', 2, []),
        ("Toy Story, The Matrix (1999) and the Blade Runner", 3, []),
        ("Blade Runner 2049 is no Blade Runner", 1, ["Blade Runner 2049"]),
        ('"Toy Story 2" is a sequel', 0, ["Toy Story 2"]),
        ("They like Love Story, and a love story", 0, ["Love Story"]),
        ('a "dark" and "slow" film, it is', 0, []),  # quoted, but no name
        ('"Heat" (crime, "9 Of 9")', 1, []),  # keywords may stand in quotes
        ("It and Heat are words, too", 0, []),
        ('«Amélie» and "東京物語"', 2, []),
        ('\ue002 "\ue003" "" "   "', 0, []),  # our own marks in a text mean nothing
        ("", 0, []),
    ],
)
def test_titles_are_found(text, shown, others):
    found = named(text)
    assert (len(found.shown), sorted(found.others)) == (shown, sorted(others))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes. x", True),
        ("no, x", False),
        ('"Yes"', True),
        ("Yesterday", None),
        ("", None),
        ("Perhaps yes", None),
    ],
)
def test_verdict(text, verdict):
    assert verdict_of(text) is verdict


def test_verdict_and_score():
    assert checked("Yes. x", 0.1)[0] is True and checked("Yes. x", -0.1)[0] is False
    assert checked("No. x", 0.0)[0] is True  # a score of 0 is no like
    assert checked("Perhaps.", 0.1)[0] is False and checked("", -1.0)[0] is False
    assert checked("Yes. x", None)[0] is None


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Yes. They will probably enjoy it.", True),
        ("No. They will probably not enjoy it.", True),
        ("No. They will probably enjoy it.", False),
        ("Yes. It does not fit their taste.", False),
        ('Yes. They hated "Heat", but this should please them.', True),
        ('No. They loved "Toy Story". It is unlikely that they will enjoy Blade Runner.', True),
        ("No. The dark tone would probably not appeal to this viewer, who prefers light comedies.", True),
        ("No. Nothing here will delight them.", True),
        ("Yes. It fits their taste not at all.", False),
        ("No. They will enjoy it not in the least.", True),
        ("No. It will not at all please them.", True),
        ("No. The Killing Fields", None),  # a title, not an opinion
        ('Yes. They liked "Toy Story", and they disliked "Heat".', None),  # weighs, and does not say
        ("Yes. It is a film of 1982.", None),
        ("They will love it.", None),
        ("Yes.", None),
        ("", None),
    ],
)
def test_polarity_fits_the_verdict(text, fits):
    assert checked(text)[1] is fits


LIKED = {title: place for place, (title, _) in enumerate(HISTORY)}


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ('liked "Toy Story" and "The Matrix", but disliked "Heat".', [(0, True), (2, True), (1, False)]),
        (
            "They enjoyed The Matrix and Toy Story, so Blade Runner should please them.",
            [(2, True), (0, True)],
        ),
        ("Although they liked Toy Story, they did not like The Killing Fields.", [(0, True), (4, False)]),
        (
            'The user didn\u2019t enjoy "Heat", which is dark, and hated "The Killing Fields".',
            [(1, False), (4, False)],
        ),
        ('Their likes include "Amélie", while "Heat" was disliked.', [(6, True), (1, False)]),
        ('Against it speaks "Heat" (crime), which they disliked.', [(1, False)]),
        ('A doubt remains because "Heat" (crime) did not please them.', [(1, False)]),
        ('They liked "Toy Story", and "Heat", which they hated.', [(0, True), (1, False)]),
        ('"Heat" shares crime with "Blade Runner", so they will like it.', []),
        ('Films like "Heat" have "crime".', []),
        ('They disliked "Blade Runner".', []),  # the target is no history
        ('They never liked "Heat". "Toy Story" is old.', [(1, False)]),
        ("They liked 7 of their latest 10 items.", []),
        ("It is neither.", []),
        ('They liked "Heat" or neither.', [(1, True)]),
        ('They enjoyed neither "Heat" nor "The Killing Fields".', [(1, False), (4, False)]),
        (
            'They enjoyed neither the dark "Heat" nor "Amélie" and loved "It".',
            [(1, False), (6, False), (5, True)],
        ),
        (
            'They enjoyed neither "Heat" nor "The Killing Fields" but loved "It".',
            [(1, False), (4, False), (5, True)],
        ),
        ('They did not yet enjoy "Heat", and would so love "Amélie".', [(1, False)]),
        ('Neither "Heat" nor "The Killing Fields" pleased them.', [(1, False), (4, False)]),
        ('They neither liked "Heat" nor enjoyed "The Killing Fields".', [(1, False), (4, False)]),
        ('They disliked neither "It" nor "Amélie".', [(5, True), (6, True)]),
        ('They disliked "Heat", neither of which is said of "Amélie".', [(1, False), (6, False)]),
        ('Neither of "Heat" and "The Killing Fields" was liked.', [(1, False), (4, False)]),
        ('None of "Heat", "Amélie" and "It" was disliked.', [(1, True), (6, True), (5, True)]),
        ('They liked none of "Heat" and "The Killing Fields".', [(1, False), (4, False)]),
        ('They liked "Amélie", not "Heat".', [(6, True), (1, False)]),
        ('They liked not only "Amélie" but "It", too.', [(6, True)]),
        ('They liked everything except "Heat" and "The Killing Fields".', []),
        ('They liked everything but "Heat" and loved "Amélie".', [(6, True)]),
        ('They liked nothing other than "Amélie", and nothing but "It".', []),
        ('They liked "Amélie", apart from "Heat", which they hated.', [(6, True), (1, False)]),
        ('"Heat" was disliked, unlike "Amélie".', [(1, False)]),
        ('Unlike "Heat", "Amélie" and "It" were liked.', []),
        ('Unlike "Heat", which they disliked, they liked "Amélie".', [(1, False), (6, True)]),
        ("", []),
    ],
)
def test_claims(text, claims):
    assert claims_of(named(text)) == [Claim(*each) for each in claims]


def test_claims_are_held_against_labels():
    assert checked('Yes. They liked "Toy Story".')[3] is True
    assert checked('Yes. They liked "Toy Story" and "Heat".')[3] is False
    assert checked('No. The user enjoyed neither "Heat" nor "The Killing Fields".')[3] is True
    assert checked('No. The user enjoyed neither "Heat" nor "Toy Story".')[3] is False
    assert checked("Yes. Blade Runner fits.")[3] is None
    twice = (("Heat", False), ("Heat", True))
    assert check('Yes. They liked "Heat" and disliked "Heat".', 1, twice, "x", CATALOGUE, Keywords({}))[
        "claims_fit_labels"
    ]


def test_the_templates_texts_are_true_and_their_opposites_are_not():
    """All wordings, both verdicts: every rule holds; with labels turned round, no claim does."""
    items = [
        ItemView(f"The {word} of number {k}", (word,)) for k, word in enumerate(("war", "love", "war", "war"))
    ]
    history = tuple(Rated(item, liked) for item, liked in zip(items, (True, True, False, True), strict=True))
    pairs = tuple((rated.item.title, rated.liked) for rated in history)
    turned = tuple((title, not liked) for title, liked in pairs)
    targets = (ItemView("A war", ("war",)), ItemView("A love", ("love",)), ItemView("A tax", ("tax",)))
    of_titles = {item.title: item.keywords for item in (*items, *targets)}
    known = Catalogue(list(of_titles)), Keywords(of_titles)
    claims = words = 0
    for target in targets:
        for past, verdict in ((history, True), (history, False), ((), True), ((), False)):
            for variant in range(30):
                word = "Yes" if verdict else "No"
                text = f"{word}. {argue(Case(past, target, str(variant)), verdict, str(variant))}"
                said = check(text, 1.0 if verdict else -1.0, pairs, target.title, *known)
                assert False not in said.values(), text
                assert said["verdict_fits_score"] and said["polarity_fits_verdict"], text
                words += said["keywords_fit_items"] is True
                if said["claims_fit_labels"]:
                    claims += 1
                    assert check(text, 1.0, turned, target.title, *known)["claims_fit_labels"] is False
    assert claims > 100 and words > 50


def test_polarity_is_between_minus_one_and_one():
    assert -1 <= polarity(named("No. It will be awful and horrible.")) < 0 < polarity(named("Great!")) <= 1

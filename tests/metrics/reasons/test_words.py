"""Words that a text has from English or from its prompt."""

from __future__ import annotations

import pytest

from thinkrec.metrics.reasons.words import words_in, words_known


class English:
    """A small dictionary that knows inflected forms as nltk's reader does."""

    def synsets(self, word: str) -> list[str]:
        return ["found"] * (word.removesuffix("s") in {"yes", "user", "like", "film", "story", "ye"})


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Yes. The users like films.", 1.0),
        ("Yes. The dis pleas films.", 3 / 5),
        ("Yes. The user doesn't like it.", 1.0),
        ("Yes. “Zorblax” 2 likes", 2 / 3),
        ("", None),
        ("12, 3!", None),
        ("Yes. ye is film", 3 / 4),  # ye is in the dictionary, and too short
    ],
)
def test_words_are_counted(text: str, share: float | None) -> None:
    assert words_known(text, "", English()) == (share if share is None else pytest.approx(share))


def test_what_the_prompt_shows_is_known() -> None:
    assert words_known("Zorblax, the film", "ZORBLAX (xyz)", English()) == 1.0
    assert words_known("Zorbla film", "Zorblax", English()) == 0.5


def test_words_are_parted() -> None:
    assert words_in("The harbour's 3 gulls, naïve_and œuvre!") == [
        "the",
        "harbour",
        "s",
        "gulls",
        "naïve",
        "and",
        "œuvre",
    ]

"""What reasons say that items have in common."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from small_llama import train_tokenizer
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from thinkrec.llm.decoding import ReasonAsShown
from thinkrec.llm.quotes import list_ends, speakable, within
from thinkrec.llm.shared_keywords import announced
from thinkrec.llm.shown import quoted

PROMPT = (
    'Liked "Alien" (space, crew)\nLiked "Heat" (heist, crew)\nDisliked "Dune" (sand, space)\n'
    'Liked "Ally" (court)\nLiked "The reef" (whale)\nWill the user like the next item?\n\n'
    'Next item: "Reef at night" (space, crew, spacesuit, moon)'
)
SHOWN = quoted(PROMPT)
ALL = (" crew", " moon", " space", " spacesuit")
NONE = (" a keyword", " keywords")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. They", None),
        (
            'Yes. "Reef at night" shares',
            [" crew", " space", *NONE],
        ),
        ('No. "Reef at night" shares', [" space", *NONE]),
        ('Yes. "Reef at night" shares crew and', [" space"]),
        ('Yes. "Reef at night" shares crew, ', ["space"]),
        ('Yes. They liked "Heat" (heist), so the', [" crew"]),
        ("Yes. They like much, so the", [" crew", " space", " user"]),
        ('Yes. "Reef at night" has', [" crew", " space", " no keyword"]),
        ('Yes. "Reef at night" (moon) has', [" crew", " space", " no keyword"]),
        ('Yes. "Ally" (court) and "Reef at night" (moon) share', [*ALL]),  # the two have nothing in common
        ('Yes. "Ally" has', None),  # what it has is not the target's
        ('Yes. "Alien" (crew) shares', None),
        ("Yes. They are at the same", None),
        ('Yes. They liked "Alien" (crew), and it has the same', [" crew"]),
        ('Yes. They liked "Alien" (crew), so the', [" crew"]),
        ('Yes. They liked "Alien" (crew), so the cr', ["ew"]),
        ('Yes. They liked "Ally" (court), so the', [*ALL]),
        ('Yes. They liked "Ally" (court), so the space', ["suit"]),
        ('Yes. They liked "Heat" (crew), so the crew of', [' "']),
        ('Yes. They liked "Heat" (crew), so the film', None),
        ('Yes. They liked "Heat" (crew), so the no', None),
        ('Yes. They liked "Heat" (crew). So the', None),
        ('Yes. They liked "Heat" (crew), so they', None),
        ('Yes. They liked "Alien" (space), and "Reef at night" offers the same', [" space"]),
        ('Yes. The liked items include "Alien" (crew), and "Reef at night" has', [" crew"]),
    ],
)
def test_how_a_list_of_common_keywords_goes_on(text: str, expected: list[str] | None) -> None:
    found = announced(text.encode(), SHOWN)
    assert (found and sorted(found.texts)) == (expected and sorted(each.encode() for each in expected))


def test_where_a_list_ends() -> None:
    for text, ended in (("crew", False), ("crew and space", True), ("space", False)):
        found = announced(f'Yes. They liked "Alien" (space, crew), so the {text}'.encode(), SHOWN)
        assert found and found.whole and found.ended is ended, text
    assert announced(b'"A" shares', {}) is None


def test_brackets_and_titles_tell_what_is_shared() -> None:
    found = within(b'Yes. They liked "Heat" (', SHOWN)
    assert found and found.texts == [b"crew)"]
    found = within(b'Yes. They liked "Ally" (', SHOWN)  # shares nothing
    assert found and found.texts == [b"court)"]
    found = within(b'Yes. "Reef at night" shares space with "Alien" (', SHOWN)
    assert found and found.texts == [b"space)"]
    assert speakable("Yes. They liked ", SHOWN) == [b"Alien", b"Heat"]  # "The reef" shares no keyword
    assert speakable('Yes. "Reef at night" shares space with items they liked: ', SHOWN) == [b"Alien"]
    assert speakable('No. They disliked "Dune", so the space of ', SHOWN) == [b"Reef at night"]


def test_a_list_of_titles_ends_when_all_that_share_a_keyword_are_named() -> None:
    assert not list_ends('Yes. They liked "Alien" (crew)', SHOWN)
    assert list_ends('Yes. They liked "Alien" (crew) and "Heat" (crew)', SHOWN)
    assert list_ends('Yes. "Reef at night" shares space with items they liked: "Alien"', SHOWN)
    assert not list_ends('Yes. "Alien"', SHOWN)  # no claim
    nothing = quoted('Liked "Alien"\nLiked "Heat"\nNext item: "Dune"')
    assert not list_ends('Yes. They liked "Alien"', nothing)
    assert list_ends('Yes. They liked "Alien" and "Heat"', nothing)  # there is no other one
    alone = quoted('Liked "Alien" (space)\nNext item: "Dune" (space)')
    assert list_ends('Yes. They liked "Alien" (space)', alone)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    said = 'Yes. They liked "Alien" (space, crew) and "Heat" (heist), so the moon of "Reef at night".'
    return train_tokenizer([PROMPT, said, "a film, and court. of space"] * 9, 400)


def logits_after(tokenizer: PreTrainedTokenizerBase, text: str, wanted: Sequence[str]) -> list[str]:
    """Return the tokens that may follow where the model wants some, the most wanted last."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    scores = torch.zeros(1, len(tokenizer))
    for rank, each in enumerate(wanted):
        scores[0, tokenizer("a" + each, add_special_tokens=False)["input_ids"][1:2]] = 1.0 + rank
    found = ReasonAsShown(tokenizer, [PROMPT], 0)(torch.tensor([ids]), scores)[0]
    return [tokenizer.decode([number]) for number in found.isfinite().nonzero()[:, 0].tolist()]


def test_a_model_about_to_say_a_keyword_says_one_that_is_shared(tokenizer: PreTrainedTokenizerBase) -> None:
    text = 'Yes. They liked "Alien" (crew), so the'
    allowed = set(map(str.strip, logits_after(tokenizer, text, [" court"])))
    assert allowed and allowed <= {"", "c", "cr", "cre", "crew"}
    free = logits_after(tokenizer, text, [" film"])
    assert len(free) > 100  # it is about to say something else


def test_behind_the_last_keyword_no_other_follows(tokenizer: PreTrainedTokenizerBase) -> None:
    allowed = logits_after(tokenizer, 'Yes. They liked "Alien" (crew), so the crew', [" and"])
    assert not {",", " and"} & set(allowed) and " of" in allowed
    assert not [each for each in allowed if each[:1].isalnum()]


def test_a_list_of_titles_ends_with_its_sign(tokenizer: PreTrainedTokenizerBase) -> None:
    text = 'Yes. They liked "Alien" (crew) and "Heat" (crew)'
    assert logits_after(tokenizer, text, [" and"]) == [","]
    assert len(logits_after(tokenizer, text, [" of"])) > 100
    text = 'Yes. "Reef at night" shares space with items they liked: "Alien" (space)'
    assert logits_after(tokenizer, text, [" and"]) == ["."]


def test_a_word_such_as_a_may_begin_something_else_or_a_keyword() -> None:
    shown = quoted('Liked "Alien" (alibi)\nNext item: "Heat" (alibi)')
    found = announced(b'Yes. "Heat" shares a', shown)
    assert found and found.whole and found.texts == [b"libi"]  # or ` keyword`, behind a space


def test_a_prompt_without_titles_and_rules_that_forbid_all(tokenizer: PreTrainedTokenizerBase) -> None:
    text = 'Yes. They liked "Alien" (crew) and "Heat" (crew)'
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    scores = torch.zeros(1, len(tokenizer))
    assert ReasonAsShown(tokenizer, ["Next item:"], 0)(ids, scores).isfinite().any()
    joins = tokenizer.convert_tokens_to_ids(tokenizer.tokenize("a and")[1:])
    scores[0, joins] = 1.0

    class OnlyJoins(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            found = torch.full_like(scores, -torch.inf)
            found[:, joins] = scores[:, joins]
            return found

    found = ReasonAsShown(tokenizer, [PROMPT], 0, [OnlyJoins()])(ids, scores)[0]
    assert [tokenizer.decode([number]) for number in found.isfinite().nonzero()[:, 0].tolist()] == [","]


def test_a_keyword_may_hold_the_word_and() -> None:
    shown = quoted('Liked "Alien" (rock and roll, war)\nLiked "Heat"\nNext item: "Dune" (rock and roll, war)')
    for text in (
        "so the rock and roll of ",
        "so the war and rock and roll of ",
        "so the user hopes, so the war of ",
    ):
        assert speakable(f'Yes. They saw "Alien", {text}', shown) == [b"Dune"]
    assert len(speakable('Yes. They saw "Alien", so the roll of ', shown)) == 3

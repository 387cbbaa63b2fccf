"""Reasons quote what their prompts show."""

from collections.abc import Sequence

import pytest
import torch
from small_llama import train_tokenizer
from transformers import PreTrainedTokenizerBase

from thinkrec.llm.quotes import Pieces, QuotesAsShown, continuations, quoted

PROMPT = 'Items:\n"Alien" (space, crew): Yes\n"Ally" : No\n"Amélie, 2001" (Paris): Yes\n"Alien" (horror): '
SHOWN = quoted(PROMPT)


def test_what_a_prompt_quotes() -> None:
    assert SHOWN == {"Alien": ["space", "crew", "horror"], "Ally": [], "Amélie, 2001": ["Paris"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. They", None),
        ('Yes. "Al', ['ien"', 'ly"']),
        ('Yes. "Alien', ['"']),
        ('Yes. "Nothing', []),
        ('Yes. "Alien" is', None),
        ('Yes. "Alien" (space)', None),
        ('"Ally" (', None),  # it has no keywords
        ('"Amélie, 2001" (P', ["aris)"]),
        ('"Alien" (crew, ', ["space)", "horror)", "space, horror", "horror, space"]),
        ('"Alien" (crew,', [" space", " horror"]),
        ('"Alien" (space, crew, horror', [")"]),
        ('Yes. "Am\ufffd', None),
    ],
)
def test_how_a_text_may_go_on(text: str, expected: list[str] | None) -> None:
    found = continuations(text, SHOWN)
    assert found == expected or (expected is not None and set(found or ()) == set(expected))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    texts = [
        PROMPT,
        'They liked "Alien" (space, crew), which "Ally", (as) "Amélie, 2001" (Paris) is not.',
    ] * 9
    return train_tokenizer(texts, 400)


def said(tokenizer: PreTrainedTokenizerBase, begun: str, wanted: Sequence[str], end: str) -> str:
    """Write on greedily with a model that gives the pieces of `wanted` rising scores and others low ones."""
    ids = tokenizer(begun, add_special_tokens=False)["input_ids"]
    scores = torch.linspace(-1, 0, len(tokenizer))[None]
    for rank, text in enumerate(wanted):
        scores[0, tokenizer(text, add_special_tokens=False)["input_ids"]] = 1.0 + rank
    rule = QuotesAsShown(tokenizer, [PROMPT], 0)
    for _ in range(60):
        chosen = int(rule(torch.tensor([ids]), scores.clone())[0].argmax())
        ids.append(chosen)
        text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        if text[len(begun) :].count(end):
            return text
    raise AssertionError(text)


@pytest.mark.parametrize("wanted", [["x"], ["zz", "q"], ["é"], [","], ["(", ")"], ["Nobody"]])
def test_a_quote_ends_as_a_title_of_the_prompt(tokenizer: PreTrainedTokenizerBase, wanted: list[str]) -> None:
    for begun in ('Yes. "', 'They liked "A', 'Yes. ("Am'):
        text = said(tokenizer, begun, wanted, '"')
        assert text.rpartition('"')[0].rpartition('"')[2] in SHOWN


@pytest.mark.parametrize("wanted", [["x"], ["zz", "q"], [","], [")"], ["Paris"]])
def test_a_bracket_holds_keywords_of_its_title(tokenizer: PreTrainedTokenizerBase, wanted: list[str]) -> None:
    for title in ("Alien", "Amélie, 2001"):
        text = said(tokenizer, f'Yes. "{title}" (', wanted, ")")
        words = text.partition("(")[2].partition(")")[0].split(", ")
        assert words and set(words) <= set(SHOWN[title]) and len(set(words)) == len(words)


def test_tokens_that_leave_a_quote_open_are_out(tokenizer: PreTrainedTokenizerBase) -> None:
    rule, scores = QuotesAsShown(tokenizer, [PROMPT], 0), torch.zeros(1, len(tokenizer))
    ids = torch.tensor([tokenizer("Yes. They", add_special_tokens=False)["input_ids"]])
    found = rule(ids, scores)[0]
    out = {tokenizer.decode([number]) for number in (~found.isfinite()).nonzero()[:, 0].tolist()}
    assert all('"' in text[:-1] for text in out)
    assert found.isfinite().sum() == len(tokenizer) - len(Pieces(tokenizer).beyond_quotes)


def test_what_other_rules_forbid_altogether_is_free_again(tokenizer: PreTrainedTokenizerBase) -> None:
    rule, scores = QuotesAsShown(tokenizer, [PROMPT], 0), torch.full((1, len(tokenizer)), -torch.inf)
    scores[0, 7] = 1.0
    ids = torch.tensor([tokenizer('Yes. "Alien', add_special_tokens=False)["input_ids"]])
    assert rule(ids, scores)[0, 7] == 1.0

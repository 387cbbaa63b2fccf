"""Reasons quote what their prompts show."""

import re
from collections.abc import Sequence

import pytest
import torch
from small_llama import train_tokenizer
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from thinkrec.llm.decoding import ReasonAsShown
from thinkrec.llm.quotes import speakable, within
from thinkrec.llm.shown import quoted
from thinkrec.teachers.template import COUNTER, NOTHING, SUPPORT

PROMPT = (
    'Items:\n"Alien" (space, crew): Yes\n"Ally" : No\n"Amélie, 2001" (Paris): Yes\n"Alien" (horror): No\n'
    '"東京物語" (家族, 旅): Yes\n"Brat 🎉" (party 🎉): No\n"Dune" ("Sci-Fi, Space", drama): Yes\n'
    '"1984" (love): '
)
SHOWN = quoted(PROMPT)
TITLES = {title.decode() for title in SHOWN}


def test_what_a_prompt_quotes() -> None:
    assert {title.decode(): [word.decode() for word in of.keywords] for title, of in SHOWN.items()} == {
        "Alien": ["space", "crew", "horror"],
        "Ally": [],
        "Amélie, 2001": ["Paris"],
        "東京物語": ["家族", "旅"],
        "Brat 🎉": ["party 🎉"],
        "Dune": ['"Sci-Fi, Space"', "drama"],
        "1984": ["love"],
    }
    assert {title.decode(): of.liked for title, of in SHOWN.items()} == {
        "Alien": {True, False},  # two items
        "Ally": {False},
        "Amélie, 2001": {True},
        "東京物語": {True},
        "Brat 🎉": {False},
        "Dune": {True},
        "1984": {None},  # the target
    }


ALL = ["Alien", "Ally", "Amélie, 2001", "東京物語", "Brat 🎉", "Dune", "1984"]
LIKED, DISLIKED = ["Alien", "Amélie, 2001", "東京物語", "Dune"], ["Alien", "Ally", "Brat 🎉"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Yes. The user enjoyed ", LIKED),
        ('They liked "Alien" (space, crew) and ', LIKED[1:]),
        ('They liked "Alien", "Dune", "東京物語" and "Amélie, 2001", then ', [*LIKED, "1984"]),
        ('They liked "Alien". They liked ', LIKED),
        ('They liked "Alien" (space), and ', [*LIKED[1:], "1984"]),
        ('They liked "Alien", just as ', [*LIKED[1:], "1984"]),
        ('They liked "Dune" (Dr. Who, drama) and ', LIKED[:3]),
        ('They liked "Alien", but they did not enjoy ', ["Ally", "Brat 🎉"]),
        ("No: they liked ", LIKED),
        ('Yes. "1984" is not like ', ALL),
        ("They do not like ", DISLIKED),
        ("Yes. The user enjoyed neither ", DISLIKED),
        ('Yes. The user enjoyed neither "Ally" nor ', ["Alien", "Brat 🎉", "1984"]),
        ('They liked "Alien", not ', ["Ally", "Brat 🎉", "1984"]),
        ("They liked everything except ", ALL),
        ('They liked "Alien", unlike ', ALL),
        ("No. The user was disappointed by ", DISLIKED),
        ('It shares crew with items that the user enjoyed: "Dune" and ', ["Alien", *LIKED[1:3]]),
        ('They enjoyed "Alien" (space), so the crew of ', ALL),
        ('Yes. "Alien" and ', ALL),
        ("They would like ", ALL),
        ("", ALL),
    ],
)
def test_a_quote_fits_what_the_words_before_it_claim(said: str, expected: list[str]) -> None:
    assert [title.decode() for title in speakable(said, SHOWN)] == expected


@pytest.mark.parametrize(
    "template", [*SUPPORT[True], *SUPPORT[False], *COUNTER[True], *COUNTER[False], *NOTHING]
)
def test_what_the_teacher_writes_may_be_written(template: str) -> None:
    """Of items with the label that the template claims, and the target, with keywords behind them."""
    liked = template in (*SUPPORT[True], *COUNTER[False])
    for items in ([LIKED, DISLIKED][not liked][:1], ([LIKED, DISLIKED][not liked])[1:3]):
        quotes = " and ".join(f'"{title}" (crew, the end. space)' for title in items)
        text = template.format(items=quotes, target='"1984" (love)', words="crew")
        for place in (match.end() for match in re.finditer(r'(?<![\w\)])"(?=\w)', text)):
            assert text[place:].split('"')[0].encode() in speakable(text[: place - 1], SHOWN), text


def test_a_target_with_the_title_of_a_history_item_may_be_named() -> None:
    shown = quoted('Disliked "Alien" (space)\nLiked "Dune"\n\nNext item: "Alien"')
    assert speakable('They liked "Dune", and ', shown) == [b"Dune", b"Alien"]
    assert speakable("They liked ", shown) == [b"Dune"]


def test_a_reception_is_no_keyword() -> None:
    shown = quoted('"Alien" (wide acclaim, space, horror): Yes\n"Dune" (mixed reception): No\n')
    assert [shown[title].keywords for title in (b"Alien", b"Dune")] == [[b"space", b"horror"], []]


def test_labels_are_read_with_one_or_two_spaces_around_a_vector() -> None:
    """Some tokenizers write a space of their own behind a placeholder."""
    for before in ("", "<|item|> ", "<|item|>  ", " <|item|> "):
        assert quoted(f'Liked {before}"Alien"')[b"Alien"].liked == {True}


def test_where_labels_are_hidden_or_none_fits_any_title_may_stand() -> None:
    hidden = quoted('Rated "Alien" (space)\nRated "Dune"\n\nNext item: "Ally"')
    assert speakable("They liked ", hidden) == [b"Alien", b"Dune", b"Ally"]
    liked = quoted('Liked "Alien" (space)\nLiked "Dune"\n\nNext item: "Ally"')
    assert speakable("They disliked ", liked) == [b"Alien", b"Dune", b"Ally"]
    assert speakable("They liked ", liked) == [b"Alien", b"Dune"]


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
        ('"Alien"(crew, ', ["space)", "horror)", "space, horror", "horror, space"]),
        ('"Alien" (crew,', [" space", " horror"]),
        ('"Alien" (space, crew, horror', [")"]),
        ('"Dune" ("Sci', ['-Fi, Space")', '-Fi, Space", drama']),
        ('"Dune" ("Sci-Fi, Space", d', ["rama)"]),
        ('"Dune" ("Sci-Fi, Space", drama) and "19', ['84"']),
    ],
)
def test_how_a_text_may_go_on(text: str, expected: list[str] | None) -> None:
    found = within(text.encode(), SHOWN)
    assert (found is None) == (expected is None)
    assert found is None or sorted(found.texts) == sorted(each.encode() for each in expected or [])


def test_a_character_that_is_not_complete() -> None:
    begun = b'"' + "東".encode()[:2]
    found = within(begun, SHOWN)
    assert found is not None and found.texts == ['東京物語"'.encode()[2:]]


@pytest.fixture(scope="module", params=["of these texts", "of other texts"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """The second writes most titles letter by letter, and others than Latin ones byte by byte."""
    own = [PROMPT, 'They liked "Alien" (space, crew), which "Ally", (as) "Amélie, 2001" (Paris) is not.']
    other = ['Nobody knows, "as ever" (or so), why (-1) the sea... "(is)" "", ("so) “blue”.']
    return train_tokenizer((own if request.param == "of these texts" else other) * 9, 400)


def said(tokenizer: PreTrainedTokenizerBase, begun: str, wanted: Sequence[str], end: str) -> str:
    """Write on greedily with a model that gives the pieces of `wanted` rising scores and others low ones."""
    ids = tokenizer(begun, add_special_tokens=False)["input_ids"]
    scores = torch.linspace(-1, 0, len(tokenizer))[None]
    for rank, text in enumerate(wanted):
        scores[0, tokenizer(text, add_special_tokens=False)["input_ids"]] = 1.0 + rank
    rule = ReasonAsShown(tokenizer, [PROMPT], 0)
    for _ in range(60):
        chosen = int(rule(torch.tensor([ids]), scores.clone())[0].argmax())
        ids.append(chosen)
        text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        if text[len(begun) :].count(end):
            return text
    raise AssertionError(text)


@pytest.mark.parametrize("wanted", [["x"], ["zz", "q"], ["é"], [","], ["(", ")"], ["Nobody"], ["東"]])
def test_a_quote_ends_as_a_title_of_the_prompt(tokenizer: PreTrainedTokenizerBase, wanted: list[str]) -> None:
    for begun in ('Yes. "', 'They liked "A', 'Yes. ("Am', '"Alien" (space), "B'):
        text = said(tokenizer, begun, wanted, '"')
        assert text.rpartition('"')[0].rpartition('"')[2] in TITLES


@pytest.mark.parametrize("wanted", [["x"], ["Amélie"], ["Dune"], ["1984"]])
def test_what_is_written_fits_the_claim(tokenizer: PreTrainedTokenizerBase, wanted: list[str]) -> None:
    for begun, titles in (
        ("They disliked", DISLIKED),
        ('They liked "Dune" (drama) and', [*LIKED[:3], "Dune"]),
    ):
        text = said(tokenizer, f'{begun} "', wanted, '"')
        assert text[len(begun) :].split('"')[1] in set(titles) - ({"Dune"} if "Dune" in begun else set())


@pytest.mark.parametrize("wanted", [["x"], ["zz", "q"], [","], [")"], ["Paris"], ["Nobody"]])
def test_a_bracket_holds_keywords_of_its_title(tokenizer: PreTrainedTokenizerBase, wanted: list[str]) -> None:
    for title in ("Alien", "Amélie, 2001", "東京物語", "Brat 🎉"):
        text = said(tokenizer, f'Yes. "{title}" (', wanted, ")")
        words = text.partition("(")[2].partition(")")[0].split(", ")
        assert words and {word.encode() for word in words} <= set(SHOWN[title.encode()].keywords)
        assert len(set(words)) == len(words)


def test_a_keyword_that_is_quoted_itself(tokenizer: PreTrainedTokenizerBase) -> None:
    assert said(tokenizer, 'Yes. "Dune" ("', ["x"], "Space").endswith('("Sci-Fi, Space')


def test_a_bracket_behind_a_title_opens_by_itself(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer('Yes. "Alien"', add_special_tokens=False)["input_ids"]
    found = ReasonAsShown(tokenizer, [PROMPT], 0)(torch.tensor([ids]), torch.zeros(1, len(tokenizer)))[0]
    allowed = [tokenizer.decode([number]) for number in found.isfinite().nonzero()[:, 0].tolist()]
    assert not [text for text in allowed if text.startswith((" (", "(")) and text not in (" (", "(")]
    assert [text for text in allowed if text in (" (", "(", " ")]


def test_tokens_that_leave_a_quote_open_are_out(tokenizer: PreTrainedTokenizerBase) -> None:
    rule, scores = ReasonAsShown(tokenizer, [PROMPT], 0), torch.zeros(1, len(tokenizer))
    ids = torch.tensor([tokenizer("Yes. They", add_special_tokens=False)["input_ids"]])
    found = rule(ids, scores)[0]
    out = set((~found.isfinite()).nonzero()[:, 0].tolist())
    named = tokenizer.get_vocab().items()
    beyond = {number for name, number in named if '"' in name[:-1]}
    curly = {number for _, number in named if set("“”„«»") & set(tokenizer.decode([number]))}
    assert beyond and out == beyond | curly


class Nothing(LogitsProcessor):
    """Forbids every token."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scores, -torch.inf)


def test_other_rules_do_not_count_where_they_forbid_all_that_a_quote_allows(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    rule = ReasonAsShown(tokenizer, [PROMPT], 0, [Nothing()])
    ids = torch.tensor([tokenizer('Yes. "198', add_special_tokens=False)["input_ids"]])
    found = rule(ids, torch.zeros(1, len(tokenizer)))[0]
    allowed = {tokenizer.decode([number]) for number in found.isfinite().nonzero()[:, 0].tolist()}
    assert "4" in allowed and allowed <= {"4", '4"'}

"""What a reason may quote: titles that its prompt quotes, with keywords that the prompt gives them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

_QUOTED = re.compile(r'"([^"\n]+)"(?: \(([^()"\n]*)\))?')
_BRACKET = re.compile(r'"([^"]+)" \(([^()"]*)$')
_HALF = "\ufffd"  # what the decoder writes for a character that is not complete


def quoted(prompt: str) -> dict[str, list[str]]:
    """Return the titles in a prompt's double quotes, with their keywords: those in brackets after them."""
    shown: dict[str, list[str]] = {}
    for title, words in _QUOTED.findall(prompt):
        shown.setdefault(title, []).extend(word for word in words.split(", ") if word)
    return shown


def continuations(text: str, shown: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return how a text may go on: to the end of a title or of a list of its keywords; None for anyhow.

    Args:
        text: what was said so far.
        shown: see `quoted`.

    Returns:
        Texts that end with a closing quote or bracket, or within a list.
    """
    if text.endswith(_HALF):
        return None
    if text.count('"') % 2:
        begun = text.rpartition('"')[2]
        return [f'{title[len(begun) :]}"' for title in shown if title.startswith(begun)]
    if (bracket := _BRACKET.search(text)) is None or not shown.get(bracket[1]):
        return None
    left, rest = list(dict.fromkeys(shown[bracket[1]])), bracket[2]
    while (said := next((word for word in left if rest.startswith(f"{word}, ")), None)) is not None:
        left.remove(said)
        rest = rest[len(said) + 2 :]
    lists = [f"{word})" for word in left]
    lists += [f"{word}, {other}" for word in left for other in left if other != word]
    return [each[len(rest) :] for each in lists if each.startswith(rest) and len(each) > len(rest)]


class Pieces:
    """The texts of a tokenizer's tokens, to find those that write a given text.

    Args:
        tokenizer: whose tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Decode each token behind another one, since some tokenizers drop the space that begins a text."""
        special = set(tokenizer.all_special_ids)
        ids = [number for number in range(len(tokenizer)) if number not in special]
        before = tokenizer("a", add_special_tokens=False)["input_ids"]
        (start,) = _decoded(tokenizer, [before])
        said = _decoded(tokenizer, [[*before, number] for number in ids])
        self._by_text: defaultdict[str, list[int]] = defaultdict(list)
        self._closing: defaultdict[str, list[int]] = defaultdict(list)
        opening = []
        for number, text in zip(ids, (each[len(start) :] for each in said), strict=True):
            self._by_text[text].append(number)
            if text[:1] in ('"', ")") and '"' not in text[1:]:
                self._closing[text[0]].append(number)
            if '"' in text[:-1]:
                opening.append(number)
        self.beyond_quotes = torch.tensor(opening, dtype=torch.int64)
        """Tokens with a quote and more behind it, [n]."""

    def writing(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens that begin one of the texts, or write all of one and go on after its end."""
        found: set[int] = set()
        for text in texts:
            for end in range(1, len(text) + 1):
                found.update(self._by_text.get(text[:end], ()))
            if text in self._closing:
                found.update(self._closing[text])
        return sorted(found)


@lru_cache(maxsize=2)
def pieces(tokenizer: PreTrainedTokenizerBase) -> Pieces:
    """Return a tokenizer's pieces, made once."""
    return Pieces(tokenizer)


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Any) -> list[str]:
    return tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class QuotesAsShown(LogitsProcessor):
    """Lets a reason quote titles of its prompt alone, and give a title keywords of its own alone.

    What it says of them stays the model's. Where no token fits, such as within a character of several tokens,
    any may follow. Our choice.

    Args:
        tokenizer: of the model.
        prompts: as text, one a row.
        length: of the prompts in tokens, padding included.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], length: int) -> None:
        """Read what each prompt quotes."""
        self.tokenizer, self.length = tokenizer, length
        self.shown = [quoted(prompt) for prompt in prompts]
        self.pieces = pieces(tokenizer)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits of the next token, [B, V]; -inf for what may not follow."""
        found = scores.clone()
        found[:, self.pieces.beyond_quotes.to(scores.device)] = -torch.inf
        for row, allowed in self._allowed(input_ids):
            kept = scores[row, allowed]
            if bool(kept.isfinite().any()):
                found[row] = -torch.inf
                found[row, allowed] = kept
        return found

    def _allowed(self, input_ids: Tensor) -> Iterator[tuple[int, list[int]]]:
        """Yield the rows that are within quotes or brackets, and the tokens that may follow."""
        for row, text in enumerate(_decoded(self.tokenizer, input_ids[:, self.length :])):
            texts = continuations(text, self.shown[row])
            if texts and (allowed := self.pieces.writing(texts)):
                yield row, allowed

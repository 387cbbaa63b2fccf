"""Text from outside that a tokenizer, as it reads it itself, never turns into a token of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from thinkrec.prompts.escape import (
    VALUE,
    as_entry,
    bounded,
    break_marks,
    break_tokens,
    folded,
    without_structure,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANSWERS = ("Yes", "No")
_CHUNK = 10_000


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """All strings that the tokenizer turns into one token of its own, the answer words left out."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return (added | set(tokenizer.all_special_tokens)) - set(ANSWERS)


def _words_alone(text: str) -> str:
    return " ".join(re.sub(r"[\W_]", " ", folded(text)).split())


def _letters_apart(text: str) -> str:
    return " ".join(_words_alone(text).replace(" ", ""))


_HARSHER: tuple[Callable[[str], str], ...] = (_words_alone, _letters_apart, lambda _: "")


class Guard:
    """Breaks marks of all families and a tokenizer's own tokens in cleaned texts, and looks at the outcome.

    A tokenizer may normalise what it reads, so that its own tokens come of strings that are not theirs. Hence
    each text is tokenised; where one of them comes out none the less, only its words are kept, then its
    letters one by one, then nothing.

    Args:
        tokenizer: whose tokens must not come of texts; None where it is not known, as behind an endpoint.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Find the tokenizer's own tokens."""
        self._tokenizer = tokenizer
        self._strings = set() if tokenizer is None else special_tokens(tokenizer)
        self._own: set[int] = set()
        if tokenizer is not None:  # an unknown letter is no mark
            names = [name for name in self._strings if len(name.strip()) > 1]
            ids = tokenizer.get_vocab()
            self._own = {ids[name] for name in names if name in ids} - {tokenizer.unk_token_id}
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """One cleaned text without any of these tokens; what was asked before is remembered."""
        if text not in self._known:
            if len(self._known) >= _CHUNK:
                self._known.clear()
            self._known[text] = self.all([text])[0]
        return self._known[text]

    def all(self, texts: Iterable[str]) -> list[str]:
        """Cleaned texts without any of these tokens."""
        asked = list(texts)
        found = {text: break_tokens(break_marks(text), self._strings) for text in asked}
        left = [text for text, broken in found.items() if broken]
        for first in range(0, len(left), _CHUNK):
            self._harden(found, left[first : first + _CHUNK])
        return [found[text] for text in asked]

    def entry(self, text: str) -> str:
        """A text from outside as one entry of a list: see `escape.listed`."""
        value = bounded(text, VALUE)
        return as_entry(value, self(without_structure(value)))

    def entries(self, texts: Iterable[str]) -> list[str]:
        """Texts from outside, each as `entry` makes it."""
        values = [bounded(text, VALUE) for text in texts]
        return list(map(as_entry, values, self.all(map(without_structure, values))))

    def _harden(self, found: dict[str, str], texts: Sequence[str]) -> None:
        for harsher in _HARSHER:
            texts = self._held(found, texts)
            if not texts:
                return
            found.update({text: harsher(found[text]) for text in texts})

    def _held(self, found: dict[str, str], texts: Sequence[str]) -> list[str]:
        """Those of the texts out of which one of the tokenizer's own tokens comes."""
        if self._tokenizer is None:
            return []
        ids = self._tokenizer([found[text] for text in texts], add_special_tokens=False)["input_ids"]
        return [text for text, own in zip(texts, ids, strict=True) if not self._own.isdisjoint(own)]

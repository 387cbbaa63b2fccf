"""Make sure that no untrusted text becomes a special token of a tokenizer."""

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
    """Return the tokenizer's special and added tokens as text, without the answer words."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return (added | set(tokenizer.all_special_tokens)) - set(ANSWERS)


def _words_only(text: str) -> str:
    return " ".join(re.sub(r"[\W_]", " ", folded(text)).split())


def _letters_apart(text: str) -> str:
    return " ".join(_words_only(text).replace(" ", ""))


_REDUCTIONS: tuple[Callable[[str], str], ...] = (_words_only, _letters_apart, lambda _: "")


class Guard:
    """Breaks the control markers of all model families and a tokenizer's special tokens in cleaned texts.

    A tokenizer may normalise its input, so that a special token can come from a string that does not spell
    it. Hence the result is tokenised; if a special token remains, only the text's words are kept, then only
    its letters, separated by spaces, then nothing.

    Args:
        tokenizer: whose special tokens must not occur; None if unknown, as behind an endpoint.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Collect the tokenizer's special tokens."""
        self._tokenizer = tokenizer
        self._strings = set() if tokenizer is None else special_tokens(tokenizer)
        self._special: set[int] = set()
        if tokenizer is not None:  # an unknown character is harmless
            names = [name for name in self._strings if len(name.strip()) > 1]
            ids = tokenizer.get_vocab()
            self._special = {ids[name] for name in names if name in ids} - {tokenizer.unk_token_id}
        self._cache: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """Return one cleaned text without special tokens; results are cached."""
        if text not in self._cache:
            if len(self._cache) >= _CHUNK:
                self._cache.clear()
            self._cache[text] = self.all([text])[0]
        return self._cache[text]

    def all(self, texts: Iterable[str]) -> list[str]:
        """Return cleaned texts without special tokens, in the same order."""
        originals = list(texts)
        guarded = {text: break_tokens(break_marks(text), self._strings) for text in originals}
        nonempty = [text for text, broken in guarded.items() if broken]
        for first in range(0, len(nonempty), _CHUNK):
            self._harden(guarded, nonempty[first : first + _CHUNK])
        return [guarded[text] for text in originals]

    def entry(self, text: str) -> str:
        """Return an untrusted text as one entry of a list; see `escape.listed`."""
        value = bounded(text, VALUE)
        return as_entry(value, self(without_structure(value)))

    def entries(self, texts: Iterable[str]) -> list[str]:
        """Return untrusted texts as entries of lists; see `entry`."""
        values = [bounded(text, VALUE) for text in texts]
        return list(map(as_entry, values, self.all(map(without_structure, values))))

    def _harden(self, guarded: dict[str, str], texts: Sequence[str]) -> None:
        """Reduce, in place, the guarded form of each text until it has no special token."""
        for reduce in _REDUCTIONS:
            texts = self._unsafe(guarded, texts)
            if not texts:
                return
            guarded.update({text: reduce(guarded[text]) for text in texts})

    def _unsafe(self, guarded: dict[str, str], texts: Sequence[str]) -> list[str]:
        """Return the texts whose guarded form still yields a special token."""
        if self._tokenizer is None:
            return []
        encoded = self._tokenizer([guarded[text] for text in texts], add_special_tokens=False)["input_ids"]
        return [text for text, ids in zip(texts, encoded, strict=True) if not self._special.isdisjoint(ids)]

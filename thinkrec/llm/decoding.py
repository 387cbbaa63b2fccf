"""Decoding of reasons: the tokens that may follow, from the texts that may."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from thinkrec.llm.common import PLAIN, Announced, announced, last_of, says_some
from thinkrec.llm.quotes import Within, list_ends, within
from thinkrec.llm.shown import quoted

_CURLY = tuple(each.encode() for each in "“”„«»")


class Pieces:
    """The bytes of a tokenizer's tokens, to find those that write a given text.

    Args:
        tokenizer: whose tokens; of a byte-level BPE also those that are no whole characters.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Decode each token behind another one, since some tokenizers drop the space that begins a text."""
        special = set(tokenizer.all_special_ids)
        ids = [number for number in range(len(tokenizer)) if number not in special]
        before = tokenizer("a", add_special_tokens=False)["input_ids"]
        (start,) = _decoded(tokenizer, [before])
        texts = _decoded(tokenizer, [[*before, number] for number in ids])
        names = tokenizer.convert_ids_to_tokens(ids)
        of_byte = {letter: byte for byte, letter in bytes_to_unicode().items()}
        self.bytes: dict[int, bytes] = {}
        for number, text, name in zip(ids, texts, names, strict=True):
            said = text[len(start) :].encode()
            if "\ufffd" in text:  # part of a character
                hexadecimal = re.fullmatch(r"<0x([0-9A-F]{2})>", name)
                whole = all(letter in of_byte for letter in name)
                said = bytes.fromhex(hexadecimal[1]) if hexadecimal else b""
                said = bytes(of_byte[letter] for letter in name) if whole and not hexadecimal else said
            self.bytes[number] = said
        self._by_text: defaultdict[bytes, list[int]] = defaultdict(list)
        for number, said in self.bytes.items():
            if said:
                self._by_text[said].append(number)
        self._closing = {
            sign: torch.tensor([number for number, said in self.bytes.items() if _closes(said, sign)])
            for sign in (b'"', b")")
        }
        self.beyond_quotes = self._of(lambda said: b'"' in said[:-1] or any(each in said for each in _CURLY))
        """Tokens with a quote and more behind it, and curly quotes, [n]."""
        self.beyond_brackets = self._of(lambda said: bool(re.match(rb" ?\(.", said)))
        """Tokens that open a bracket and go on, [n]."""
        self.within_words = self._of(
            lambda said: said[:1].isalnum() or said[:1] == b"-" or said[:1] > b"\x7f"
        )
        """Tokens that go on with a word, [n]."""
        self.next_ones = self._of(lambda said: bool(re.match(rb",| (?:and|or|&)\Z", said)))
        """Tokens that go on with a list of keywords, [n]."""
        self.next_of = self._of(lambda said: said == b" of")
        """The token of another `of`, [n]."""
        self.next_titles = self._of(lambda said: bool(re.match(rb" (?:and|or|&)\Z", said)))
        """Tokens that go on with a list of titles, [n]."""

    def _of(self, fits) -> Tensor:  # type: ignore[no-untyped-def]  # a function of bytes
        return torch.tensor([number for number, said in self.bytes.items() if fits(said)], dtype=torch.int64)

    def writing(self, allowed: Within) -> list[int]:
        """Return the tokens that begin one of the texts, or write its end and go on after it."""
        found: set[int] = set()
        for text in allowed.texts:
            for end in range(1, len(text) + 1):
                found.update(self._by_text.get(text[:end], ()))
            if text == allowed.closing:
                found.update(self._closing[allowed.closing].tolist())
        return sorted(found)


def _closes(said: bytes, sign: bytes) -> bool:
    """Return whether a token closes a quote or bracket, with no other quote or begun bracket behind it."""
    return said.startswith(sign) and b'"' not in said[1:] and not re.search(rb"\(.", said[1:])


@lru_cache(maxsize=2)
def pieces(tokenizer: PreTrainedTokenizerBase) -> Pieces:
    """Return a tokenizer's pieces, made once."""
    return Pieces(tokenizer)


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[list[int]]) -> list[str]:
    return tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class ReasonAsShown(LogitsProcessor):
    """Lets a reason say of items what its prompt shows: titles, keywords, and what they have in common.

    It quotes titles of the prompt alone; behind words such as `the user enjoyed` liked ones, of these such
    that share a keyword with the target, see `speakable`. A bracket behind a title holds its own keywords,
    see `within`; words such as `shares` precede keywords of the target, see `announced`. All else stays the
    model's, and so does a bracket behind a title without keywords. Curly quotes are not written. Our choice.

    Args:
        tokenizer: of the model.
        prompts: as text, one a row.
        length: of the prompts in tokens, padding included.
        others: further rules; where they forbid all that this one allows, they do not count.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        length: int,
        others: Sequence[LogitsProcessor] = (),
    ) -> None:
        """Read what each prompt shows."""
        self.length, self.others = length, others
        self.shown = [quoted(prompt) for prompt in prompts]
        self.pieces = pieces(tokenizer)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits of the next token, [B, V]; -inf for what may not follow."""
        found = scores.clone()
        for rule in self.others:
            found = rule(input_ids, found)
        found[:, self.pieces.beyond_quotes.to(scores.device)] = -torch.inf
        for row, text in enumerate(self._said(input_ids)):
            shown = self.shown[row]
            if (allowed := within(text, shown)) is not None:
                self._keep(found[row], scores[row], self.pieces.writing(allowed))
            elif (announcing := announced(text, shown)) is not None:
                self._announce(found[row], scores[row], announcing)
            else:
                if re.search(rb'" ?\Z', text):  # a bracket behind a title opens by itself
                    found[row, self.pieces.beyond_brackets.to(scores.device)] = -torch.inf
                if re.search(rb'["\)]\Z', text) and list_ends(text.decode(errors="ignore"), shown):
                    self._end_list(found[row], b"." if says_some(last_of(text), shown) else b",")
                if re.search(rb' of "[^"]*"\Z', text):
                    found[row, self.pieces.next_of.to(scores.device)] = -torch.inf
        return found

    def _announce(self, found: Tensor, scores: Tensor, announcing: Announced) -> None:
        """Keep to the keywords that may be listed, in place; [V] each."""
        tokens = self.pieces.writing(Within(announcing.texts, b""))
        if announcing.whole:
            kept = found[tokens]
            found[self.pieces.within_words.to(found.device)] = -torch.inf
            found[tokens] = kept
            if announcing.ended:
                found[self.pieces.next_ones.to(found.device)] = -torch.inf
        elif not announcing.starts or self._begins(int(found.argmax()), announcing.starts):
            self._keep(found, scores, tokens)

    def _end_list(self, found: Tensor, sign: bytes) -> None:
        """Write the sign that ends a list of titles, in place, where the model would name another; [V]."""
        if int(found.argmax()) in self.pieces.next_titles:
            self._keep(found, found, self.pieces.writing(Within([sign], b"")))

    def _begins(self, token: int, starts: Sequence[bytes]) -> bool:
        """Return whether a token begins one of the texts, and is no word such as `a`."""
        said = self.pieces.bytes.get(token, b"")
        word = said.strip().decode(errors="ignore").casefold()
        whole = any(text == said for text in starts)
        return (whole or word not in PLAIN) and bool(word) and any(text.startswith(said) for text in starts)

    @staticmethod
    def _keep(found: Tensor, scores: Tensor, tokens: Sequence[int]) -> None:
        """Forbid all but these tokens, in place, where there are any; [V] each."""
        if tokens:
            chosen = list(tokens)
            kept = found[chosen]
            kept = kept if bool(kept.isfinite().any()) else scores[chosen]
            found[:] = -torch.inf
            found[chosen] = kept

    def _said(self, input_ids: Tensor) -> Iterator[bytes]:
        """Yield the answer of each row so far."""
        for ids in input_ids[:, self.length :].tolist():
            yield b"".join(self.pieces.bytes.get(number, b"") for number in ids)

"""Decoding of reasons: the tokens that may follow, from the texts that may."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from thinkrec.llm.quotes import Within, list_ends, within
from thinkrec.llm.shared_keywords import Announced, announced, last_of, names_target, says_some
from thinkrec.llm.shown import Title, quoted
from thinkrec.metrics.reasons.keywords import DETERMINERS

_BEYOND = re.compile(rb'".|' + "|".join("“”„«»").encode(), re.DOTALL)
"""A quote and more behind it, or a curly one."""


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
        self._closing = {b'"': self._of(_closes_quote).tolist(), b")": self._of(_closes_bracket).tolist()}
        self.kinds = {
            "beyond a quote": self._of(lambda said: bool(_BEYOND.search(said))),
            "into a bracket": self._of(lambda said: bool(re.match(rb" ?\(.", said))),
            "within a word": self._of(lambda said: bool(re.match(rb"[\w\x80-\xff-]", said))),
            "to the next keyword": self._of(lambda said: bool(re.match(rb",| (?:and|or|&)\Z", said))),
            "to the next title": self._of(lambda said: bool(re.match(rb" (?:and|or|&)\Z", said))),
            "of": self._of(lambda said: said == b" of"),
        }
        """Tokens by how a text goes on with them, each [n]."""

    def _of(self, fits: Callable[[bytes], bool]) -> Tensor:
        return torch.tensor([number for number, said in self.bytes.items() if fits(said)], dtype=torch.int64)

    def going(self, kind: str, device: torch.device) -> Tensor:
        """Return the tokens of a kind, [n], on a device, to which they are moved once."""
        if self.kinds[kind].device != device:
            self.kinds[kind] = self.kinds[kind].to(device)
        return self.kinds[kind]

    def writing(self, allowed: Within) -> list[int]:
        """Return the tokens that begin one of the texts, or write its end and go on after it."""
        found: set[int] = set()
        for text in allowed.texts:
            for end in range(1, len(text) + 1):
                found.update(self._by_text.get(text[:end], ()))
            if text == allowed.closing:
                found.update(self._closing[allowed.closing])
        return sorted(found)


def _closes_quote(said: bytes) -> bool:
    """Return whether a token closes a quote, with no other quote or begun bracket behind it."""
    return said.startswith(b'"') and b'"' not in said[1:] and not re.search(rb"\(.", said[1:])


def _closes_bracket(said: bytes) -> bool:
    """Return whether a token closes a bracket, with no quote or begun bracket behind it."""
    return said.startswith(b")") and b'"' not in said[1:] and not re.search(rb"\(.", said[1:])


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
    see `within`; words such as `shares` precede keywords of the target, see `announced`. A list of titles
    with brackets ends where all such titles are named. All else stays the model's, and so does a bracket
    behind a title without keywords. Curly quotes are not written. Our choice.

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
        found[:, self.pieces.going("beyond a quote", scores.device)] = -torch.inf
        for row, text in enumerate(self._said(input_ids)):
            if self.shown[row]:
                self._rule(text, self.shown[row], found[row], scores[row])
        return found

    def _rule(self, text: bytes, shown: Mapping[bytes, Title], found: Tensor, scores: Tensor) -> None:
        """Forbid what may not follow a text, in place; [V] each, without and with the other rules."""
        if (allowed := within(text, shown)) is not None:
            self._keep(found, scores, self.pieces.writing(allowed))
        elif (announcing := announced(text, shown)) is not None:
            self._announce(found, scores, announcing)
        elif re.search(rb'" ?\Z', text):  # a bracket behind a title opens by itself
            self._forbid(found, "into a bracket")
            if names_target(re.sub(rb'"[^"]*" ?\Z', b"", text), shown):  # not `of "A" of "A"`
                self._forbid(found, "of")
        elif re.search(rb'"[^"]*" ?\([^()]*\)\Z', text):
            wants = int(found.argmax()) in self.pieces.kinds["to the next title"]
            if wants and list_ends(text.decode(errors="ignore"), shown):
                sign = b"." if says_some(last_of(text), shown) else b","
                self._keep(found, scores, self.pieces.writing(Within([sign], b"")))

    def _announce(self, found: Tensor, scores: Tensor, announcing: Announced) -> None:
        """Keep to the keywords that may be listed, in place; [V] each."""
        tokens = self.pieces.writing(Within(announcing.texts, b""))
        if announcing.whole:
            kept = found[tokens]
            self._forbid(found, "within a word")
            found[tokens] = kept
            if announcing.ended:
                self._forbid(found, "to the next keyword")
        elif not announcing.starts or self._begins(int(found.argmax()), announcing.starts):
            self._keep(found, scores, tokens)

    def _begins(self, token: int, starts: Sequence[bytes]) -> bool:
        """Return whether a token begins one of the texts; a word such as `a` must be one."""
        said = self.pieces.bytes.get(token, b"")
        word = said.strip().decode(errors="ignore").casefold()
        if not word or (word in DETERMINERS and said not in starts):
            return False
        return any(text.startswith(said) for text in starts)

    def _forbid(self, found: Tensor, kind: str) -> None:
        found[self.pieces.going(kind, found.device)] = -torch.inf

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

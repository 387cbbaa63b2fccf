"""What a reason may quote: titles of its prompt, as liked or not as it shows them, and with its keywords."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from thinkrec.metrics.reasons.titles import MARK, MAX_PLACE, OTHER, Named, mark_of
from thinkrec.metrics.reasons.truth import claims_of, last_sentence
from thinkrec.prompts.reception import NAMES

_QUOTED = re.compile(
    r'(?:^(Liked|Disliked) +(?:\S+ +)?)?"([^"\n]+)"(?: \(((?:"[^"\n]*"|[^()"\n])*)\))?(?: ?: (Yes|No)$)?',
    re.MULTILINE,
)
_ENTRY = re.compile(r'"[^"]*"|[^,\s][^,]*')
_CURLY = tuple(each.encode() for each in "“”„«»")
_SAID = re.compile(rb'"([^"]*)"( ?\(((?:"[^"]*"|[^()"])*(?:"[^"]*)?)(\)|\Z))?')


class Title(NamedTuple):
    """What a prompt shows of the items with one title.

    Args:
        keywords: of all of them, in UTF-8.
        liked: the labels that they have in the history; None for the target's and for hidden ones.
    """

    keywords: list[bytes]
    liked: set[bool | None]


def quoted(prompt: str) -> dict[bytes, Title]:
    """Return the titles in a prompt's double quotes, in UTF-8, with what it shows of them.

    Keywords stand in brackets behind a title; those with signs of a list are quoted themselves. Receptions,
    which stand there, too, are no keywords. Labels stand before or behind, see `Line`.
    """
    shown: dict[bytes, Title] = {}
    for before, title, words, after in _QUOTED.findall(prompt):
        keywords, liked = shown.setdefault(title.encode(), Title([], set()))
        entries = (word.strip() for word in _ENTRY.findall(words))
        keywords.extend(word.encode() for word in entries if word not in NAMES)
        liked.add((before or after) in ("Liked", "Yes") if before or after else None)
    return shown


def speakable(said: str, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the titles that a quote which begins behind `said` may hold.

    Where the words before it claim a like or dislike, these are titles with that label, of them those that
    the sentence has not named yet, where there are any. The target may follow where no list goes on: as in
    `liked "A" and "B", and "C" offers the same`. Our choice.
    """
    titles = list(shown)
    marks = {title.decode(): mark_of(place) for place, title in enumerate(titles)}
    text = re.sub('"([^"]*)"', lambda match: marks.get(match[1], OTHER), said)
    stance = _stance(text)
    if stance is None:
        return titles
    sentence = last_sentence(text)
    named, gap = MARK.findall(sentence), MARK.split(sentence)[-1]
    true = [title for title in titles if stance in shown[title].liked]
    found = [title for title in true if marks[title.decode()] not in named] or true
    if named and gap.strip() not in ("and", "or", ",") and _stance(gap) is None:
        found += [title for title in titles if None in shown[title].liked and title not in found]
    return found or titles


def _stance(text: str) -> bool | None:
    """Return what a text, its titles marked, claims of a title that would follow."""
    claims = claims_of(Named(text + mark_of(MAX_PLACE), [], []))
    return next((claim.liked for claim in claims if claim.place == MAX_PLACE), None)


@dataclass(frozen=True)
class Within:
    """The allowed continuations of a text that is within a quote or a bracket.

    Args:
        texts: that may follow, each to its end; those of a title or list with a closing quote or bracket.
        closing: the sign that closes it.
    """

    texts: list[bytes]
    closing: bytes


def within(text: bytes, shown: Mapping[bytes, Title]) -> Within | None:
    """Return how a text may go on where it is within a title's quote or its list of keywords; None elsewhere.

    Args:
        text: what was said so far.
        shown: see `quoted`.
    """
    end = 0
    while (begin := text.find(b'"', end)) >= 0:
        said = _SAID.match(text, begin)
        if said is None:
            begun = text[begin + 1 :]
            titles = [title for title in shown if title.startswith(begun)]
            fitting = set(speakable(text[:begin].decode(errors="ignore"), shown)).intersection(titles)
            return Within([title[len(begun) :] + b'"' for title in fitting or titles], b'"')
        if said[2] is not None and not said[4]:
            words = list(dict.fromkeys(shown[said[1]].keywords)) if said[1] in shown else []
            return Within(_lists(words, said[3]), b")") if words else None
        end = said.end()
    return None


def _lists(left: list[bytes], rest: bytes) -> list[bytes]:
    """Return how a list of some of the keywords may go on behind `rest`: to its end, or to the next one."""
    while (said := next((word for word in left if rest.startswith(word + b", ")), None)) is not None:
        left.remove(said)
        rest = rest[len(said) + 2 :]
    lists = [word + b")" for word in left]
    lists += [word + b", " + other for word in left for other in left if other != word]
    return [each[len(rest) :] for each in lists if each.startswith(rest) and len(each) > len(rest)]


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


class QuotesAsShown(LogitsProcessor):
    """Lets a reason quote titles of its prompt alone, and give a title keywords of its own alone.

    Behind words such as `the user enjoyed` it quotes liked titles, see `speakable`. What else it says of them
    stays the model's, and so does a bracket behind a title without keywords. Curly quotes are not written.
    Our choice.

    Args:
        tokenizer: of the model.
        prompts: as text, one a row.
        length: of the prompts in tokens, padding included.
        others: further rules; where they forbid all that a quote allows, they do not count.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        length: int,
        others: Sequence[LogitsProcessor] = (),
    ) -> None:
        """Read what each prompt quotes."""
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
            allowed = within(text, self.shown[row])
            tokens = self.pieces.writing(allowed) if allowed else []
            if tokens:
                kept = found[row, tokens]
                kept = kept if bool(kept.isfinite().any()) else scores[row, tokens]
                found[row] = -torch.inf
                found[row, tokens] = kept
            elif re.search(rb'" ?\Z', text):  # a bracket behind a title opens by itself
                found[row, self.pieces.beyond_brackets.to(scores.device)] = -torch.inf
        return found

    def _said(self, input_ids: Tensor) -> Iterator[bytes]:
        """Yield the answer of each row so far."""
        for ids in input_ids[:, self.length :].tolist():
            yield b"".join(self.pieces.bytes.get(number, b"") for number in ids)

"""What a reason may say that its target has in common with the history: keywords that the prompt shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thinkrec.llm.shown import Title

_ASIDE = re.compile(rb'"[^"]*"|\([^()]*\)')
_SENTENCE = re.compile(rb"(?<=[.!?;])\s+")
_ANNOUNCED = re.compile(rb"(?:\b(?:share|shares|sharing)|\0 (?:has|have)|, so the|\bthe same)(?= |\Z)")
_NONE_SHARED = (b"a keyword", b"no keyword", b"keywords", b"user")
"""What may follow instead: `No item shares a keyword`, `has no keyword in common`, `so the user`."""
PLAIN = frozenset(("a", "an", "its", "no", "one", "other", "some", "the", "their"))
"""Words that may begin something else than a keyword, though a keyword may begin like them."""
_VERDICT = re.compile(rb"\W*(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Announced:
    """How a text may go on that is about to say, or has just said, what items have in common.

    Args:
        texts: that may follow; behind a whole keyword none, or those of longer ones.
        starts: keywords of the prompt, each behind a space, where the next one begins; the rule holds there
            only if the model is about to begin one of them.
        whole: a word is complete: no letter may follow but for `texts`.
        ended: no other keyword may be listed.
    """

    texts: list[bytes]
    starts: list[bytes]
    whole: bool = False
    ended: bool = False


def announced(text: bytes, shown: Mapping[bytes, Title]) -> Announced | None:
    """Return how a text may go on behind words such as `shares` or `so the`; None elsewhere.

    It may list keywords of the target: those that the items cited in its sentence have, too, where there are
    any, else those that a history item of the verdict's side has, else any. Our choice.

    Args:
        text: what was said so far, not within a quote or bracket.
        shown: of `quoted`.
    """
    if not shown:
        return None
    target = next(reversed(list(shown)))
    sentence = last_of(text)
    begun = _masked(sentence)
    opening = next(reversed(list(_ANNOUNCED.finditer(begun))), None)
    if opening is None:
        return None
    rest = begun[opening.end() :]
    cited = [title for title in re.findall(rb'"([^"]*)"', sentence) if title in shown and title != target]
    left = _wanted(text, sentence, cited, shown)
    listed = False
    while (found := _listed(left, rest)) is not None:
        keyword, rest = found
        left, listed = [each for each in left if each != keyword], True
    said = rest[1:]
    starts = [b" " + each for each in {word for of in shown.values() for word in of.keywords}]
    if not said:
        also = () if listed or cited else _NONE_SHARED
        texts = [(b" " + each)[len(rest) :] for each in (*left, *also)]
        return Announced(texts, [each[len(rest) :] for each in starts]) if left else None
    texts = [each[len(said) :] for each in left if each.startswith(said) and each != said]
    if said in left:
        return Announced(texts, [], whole=True, ended=left == [said])
    if re.fullmatch(rb".* of", said) and _listed(left, rest[:-3] + b","):
        return Announced([b' "'], [])
    is_word = said.decode(errors="ignore").casefold() in PLAIN
    return Announced(texts, [], whole=is_word) if texts else None


def last_of(text: bytes) -> bytes:
    """Return the sentence in which a text ends."""
    return text[len(text) - len(_SENTENCE.split(_masked(text))[-1]) :]


def _masked(text: bytes) -> bytes:
    """Put zeros in place of quotes, and spaces in place of brackets, length for length."""
    return _ASIDE.sub(lambda found: (b"\0" if found[0][:1] == b'"' else b" ") * len(found[0]), text)


def _listed(left: Iterable[bytes], rest: bytes) -> tuple[bytes, bytes] | None:
    """Return the keyword that a list goes on with, and what follows the comma or `and` behind it."""
    for keyword in sorted(left, key=len, reverse=True):
        for sign in (b", and", b",", b" and"):
            begun = b" " + keyword + sign
            if rest.startswith(begun) and (len(rest) == len(begun) or rest[len(begun)] == ord(" ")):
                return keyword, rest[len(begun) :]
    return None


def _wanted(
    text: bytes, sentence: bytes, cited: Sequence[bytes], shown: Mapping[bytes, Title]
) -> list[bytes]:
    """Return the keywords of the target that a sentence which cites items may list."""
    target = next(reversed(list(shown)))
    has = sorted(word for word in shown[target].has if b'"' not in word)
    verdict = _VERDICT.match(text)
    side = verdict is None or verdict[1].lower() == b"yes"
    agreeing = [title for title, of in shown.items() if title != target and side in of.liked]
    said = {word.strip() for words in re.findall(rb"\(([^()]*)\)", sentence) for word in words.split(b",")}
    choices = (
        [word for word in has if word in said and cited],
        [word for word in has if any(word in shown[title].has for title in cited)],
        [word for word in has if not cited and any(word in shown[title].has for title in agreeing)],
    )
    return next(filter(None, choices), has)


def shared(title: bytes, sentence: bytes, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the keywords that an item and the target have; if the sentence says some, these."""
    target = next(reversed(list(shown)))
    both = shown[target].has & shown[title].has
    return sorted(word for word in both if _says(sentence, word)) or sorted(both)


def says_some(sentence: bytes, shown: Mapping[bytes, Title]) -> bool:
    """Test whether a sentence says a keyword of the target outside quotes and brackets."""
    return any(_says(sentence, word) for word in shown[next(reversed(list(shown)))].has)


def alike(titles: Sequence[bytes], sentence: bytes, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return those titles with keywords of the target, if any: where its sentence says some, with these."""
    target = next(reversed(list(shown)))
    said = [word for word in shown[target].has if _says(sentence, word)]
    for words in (said, shown[target].has):
        if found := [title for title in titles if shown[title].has.intersection(words)]:
            return found
    return list(titles)


def _says(sentence: bytes, word: bytes) -> bool:
    """Test whether a sentence says a keyword outside quotes and brackets."""
    return bool(re.search(rb"(?<!\w)" + re.escape(word) + rb"(?!\w)", _masked(sentence)))

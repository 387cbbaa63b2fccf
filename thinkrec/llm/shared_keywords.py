"""What a reason may say that its target has in common with the history: keywords that the prompt shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thinkrec.llm.shown import Title, target_of
from thinkrec.metrics.reasons.keywords import DETERMINERS

_ASIDE = re.compile(rb'"[^"]*"|\([^()]*\)')
_CITED = re.compile(rb'"([^"]*)"(?: ?\(([^()]*)\))?')
_SENTENCE = re.compile(rb"(?<=[.!?;])\s+")
_OPENING = re.compile(
    rb"(?:(?P<same>(?:\0 +)?\b(?:has|have|offers?|offering) the same)|(?P<has>\0 +(?:has|have))|"
    rb"(?P<share>\b(?:share|shares|sharing))|(?P<so>, so the))(?= |\Z)"
)
_NONE = {"share": (b"a keyword", b"keywords"), "has": (b"no keyword",), "so": (b"user",), "same": ()}
"""What else may follow: `No item shares a keyword`, `has no keyword in common`, `so the user`."""
_JOINS = (b", and", b",", b" and")
_VERDICT = re.compile(rb"\W*(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Announced:
    """How a text may go on that is about to say, or has just said, what items have in common.

    Args:
        texts: that may follow; behind a whole word none, or those of longer ones.
        starts: how keywords in the prompt begin where the next one is due; the rule holds there only if the
            model is about to begin one of them.
        whole: a word is complete: no letter may follow but for `texts`.
        ended: no other keyword may be listed.
    """

    texts: list[bytes]
    starts: list[bytes]
    whole: bool = False
    ended: bool = False


def announced(text: bytes, shown: Mapping[bytes, Title]) -> Announced | None:
    """Return how a text may go on behind words such as `shares` or `so the`; None elsewhere.

    It may list keywords of the target: those that items cited in its sentence have, too, where there are any;
    without such items, those that a history item of the verdict's side has; else any. What a sentence says of
    another item stays the model's. Our choice.

    Args:
        text: what was said so far, not within a quote or bracket.
        shown: of `quoted`.
    """
    sentence = last_of(text)
    begun = masked(sentence)
    opening = next(reversed(list(_OPENING.finditer(begun))), None)
    if opening is None or not shown or not _about_target(sentence, begun, opening, shown):
        return None
    cited = _cited(sentence[: opening.start()], shown)
    left = _wanted(text, cited, shown)
    rest, listed = begun[opening.end() :], False
    while (found := _listed(left, rest, _JOINS)) is not None:
        keyword, rest = found
        left, listed = [each for each in left if each != keyword], True
    said = rest[1:]
    if not said:
        also = () if listed or cited else _NONE[str(opening.lastgroup)]
        starts = {word for of in shown.values() for word in of.keywords}
        texts, starting = ([(b" " + each)[len(rest) :] for each in some] for some in ((*left, *also), starts))
        return Announced(texts, starting) if left else None
    texts = [each[len(said) :] for each in left if each.startswith(said) and each != said]
    if said in left:
        return Announced(texts, [], whole=True, ended=left == [said])
    if opening.lastgroup == "so" and _listed(left, rest, (b" of",)) == (said[:-3], b""):
        return Announced([b' "', *texts], [])
    is_word = said.decode(errors="ignore").casefold() in DETERMINERS
    return Announced(texts, [], whole=is_word) if texts else None


def names_target(text: bytes, shown: Mapping[bytes, Title]) -> bool:
    """Test whether a text that a title follows ends as in `, so the word and word of `, with its keywords."""
    _, opening, rest = text.rpartition(b", so the")
    has = shown[target_of(shown)].has if opening else ()
    while (found := _listed(has, rest, _JOINS)) is not None:
        rest = found[1]
    last = _listed(has, rest, (b" of",))
    return last is not None and last[1] == b" "


def _about_target(
    sentence: bytes, begun: bytes, opening: re.Match[bytes], shown: Mapping[bytes, Title]
) -> bool:
    """Test whether an opening tells of the target: no other title is right before it."""
    before = re.search(rb"\0 *\w* ?(?:the same)?\Z", begun[: opening.end()])
    titles = re.findall(rb'"([^"]*)"', sentence[: opening.end()])
    return opening.lastgroup == "so" or before is None or titles[-1] == target_of(shown)


def _cited(sentence: bytes, shown: Mapping[bytes, Title]) -> dict[bytes, set[bytes]]:
    """Return the history's titles in a sentence, with the keywords in brackets behind them."""
    found: dict[bytes, set[bytes]] = {}
    for title, words in _CITED.findall(sentence):
        if title in shown and title != target_of(shown):
            found.setdefault(title, set()).update(word.strip() for word in words.split(b","))
    return found


def sentences_in(text: str) -> list[str]:
    """Return the sentences of a text; stops in quotes and brackets end none."""
    said, end, found = text.encode(), 0, []
    for gap in _SENTENCE.finditer(masked(said)):
        found.append(said[end : gap.start()].decode())
        end = gap.end()
    return [*found, said[end:].decode()]


def last_of(text: bytes) -> bytes:
    """Return the sentence in which a text ends."""
    return text[len(text) - len(_SENTENCE.split(masked(text))[-1]) :]


def masked(text: bytes) -> bytes:
    """Put zeros in place of quotes, and spaces in place of brackets, length for length."""
    return _ASIDE.sub(lambda found: (b"\0" if found[0][:1] == b'"' else b" ") * len(found[0]), text)


def _listed(left: Iterable[bytes], rest: bytes, joins: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the keyword that a list goes on with, and what follows the comma or word behind it."""
    for keyword in sorted(left, key=len, reverse=True):
        for sign in joins:
            begun = b" " + keyword + sign
            if rest.startswith(begun) and (len(rest) == len(begun) or rest[len(begun)] == ord(" ")):
                return keyword, rest[len(begun) :]
    return None


def _wanted(text: bytes, cited: Mapping[bytes, set[bytes]], shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the keywords of the target that a sentence which cites items may list."""
    target = target_of(shown)
    has = sorted(shown[target].has)
    if cited:
        both = [word for word in has if any(word in shown[title].has for title in cited)]
        return [word for word in both if any(word in said for said in cited.values())] or both or has
    verdict = _VERDICT.match(text)
    side = verdict is None or verdict[1].lower() == b"yes"
    agreeing = [of for title, of in shown.items() if title != target and side in of.liked]
    return [word for word in has if any(word in of.has for of in agreeing)] or has


def shared(title: bytes, sentence: bytes, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the keywords that an item and the target have; if the sentence says some, these."""
    target = target_of(shown)
    both = shown[target].has & shown[title].has
    return sorted(word for word in both if _says(sentence, word)) or sorted(both)


def says_some(sentence: bytes, shown: Mapping[bytes, Title]) -> bool:
    """Test whether a sentence says a keyword of the target outside quotes and brackets."""
    return any(_says(sentence, word) for word in shown[target_of(shown)].has)


def alike(titles: Sequence[bytes], sentence: bytes, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return those titles with keywords of the target, if any: where its sentence says some, with these."""
    target = target_of(shown)
    said = [word for word in shown[target].has if _says(sentence, word)]
    for words in (said, shown[target].has):
        if found := [title for title in titles if shown[title].has.intersection(words)]:
            return found
    return list(titles)


def _says(sentence: bytes, word: bytes) -> bool:
    """Test whether a sentence says a keyword outside quotes and brackets."""
    return bool(re.search(rb"(?<!\w)" + re.escape(word) + rb"(?!\w)", masked(sentence)))

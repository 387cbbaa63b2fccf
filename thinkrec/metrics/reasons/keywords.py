"""Whether the keywords that a text gives to items are theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice

from thinkrec.metrics.reasons.titles import MARK, TARGET, Named, normal, place_of
from thinkrec.metrics.reasons.truth import sentences_of

_BRACKET = re.compile(rf"({MARK.pattern})\s*\(([^()]*)\)")
_GIVES = re.compile(
    rf"(?P<mark>{MARK.pattern})?\s*(?:(?:also|too) )?"
    rf"(?:\b(?P<share>shares?|sharing|(?:has|have|offers?|offering) the same)|(?P<so>, so the)|"
    r"(?P<has>\b(?:has|have|offers?))|\b(?:it|which|that) (?:has|have|offers?))\b"
)
"""Words before a list of keywords, and the title right before them."""
_FIRST, _NEXT = re.compile(r"\s*"), re.compile(r"\s*(?:,\s*and\b|,|\band\b)\s*")
DETERMINERS = frozenset(("a", "an", "its", "no", "one", "other", "some", "the", "their"))
"""Words that are no keyword where a list of keywords may begin."""
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


class Keywords:
    """Keywords of all items, to test what a text says of them.

    Args:
        of_titles: title -> keywords of all items with it.
    """

    def __init__(self, of_titles: Mapping[str, Sequence[str]]) -> None:
        """Fold case and signs of all."""
        self._own = {title: frozenset(map(normal, words)) for title, words in of_titles.items()}
        self._every = frozenset().union(*self._own.values()) - DETERMINERS
        self._longest = max((len(word.split()) for word in self._every), default=0)

    def knows(self, entry: str) -> bool:
        """Test whether a text is a keyword of some item, and no determiner."""
        return normal(entry) in self._every

    def has(self, title: str, entry: str) -> bool:
        """Test whether a keyword is one of a title's items, or consists of words of the title."""
        words = normal(entry)
        return words in self._own.get(title, ()) or _words(title).issuperset(words.split())

    def listed(self, text: str) -> list[str]:
        """Return the keywords that a text begins with, parted by commas or `and`, the longest of each."""
        found: list[str] = []
        start = _FIRST.match(text)
        while start is not None:
            words = list(islice(_WORD.finditer(text, start.end()), self._longest))
            whole = [text[start.end() : word.end()] for word in words]
            known = [entry for entry in whole if self.knows(entry)]
            if not known or words[0].start() != start.end():
                break
            found.append(known[-1])
            start = _NEXT.match(text, start.end() + len(known[-1]))
        return found


@lru_cache(maxsize=4096)
def _words(title: str) -> frozenset[str]:
    return frozenset(normal(title).split())


def keywords_fit(named: Named, history: Sequence[str], target: str, keywords: Keywords) -> bool | None:
    """Test whether the keywords that a text gives to items are theirs; None where it gives none.

    It gives some in a bracket behind a title, which must be of that item; and behind words such as `shares`,
    `has`, `offers the same` and `, so the`. These must be of the item right before, else of the target. Where
    they are said to be shared, and the sentence names other items, they must also be of the target or, where
    that is the item before, of one of the others. Words that are no keyword of any item are not judged.

    Args:
        named: the text, its titles marked.
        history: titles that the prompt shows.
        target: the title asked about.
        keywords: of all titles.

    Source: our choice.
    """

    def title_of(mark: str) -> str | None:
        place = place_of(mark)
        return history[place] if place is not None else target if mark == TARGET else None

    found: list[bool] = []
    for sentence in sentences_of(named):
        for mark, bracket in _BRACKET.findall(sentence):
            title = title_of(mark)
            entries = [entry for entry in bracket.split(",") if keywords.knows(entry)]
            found += [keywords.has(title, entry) for entry in entries if title is not None]
        bare = _BRACKET.sub(r"\1", sentence)
        named_here = [title for mark in MARK.findall(bare) if (title := title_of(mark)) is not None]
        for gives in _GIVES.finditer(bare):
            rest = bare[gives.end() :]
            if gives["so"] and not re.search(rf"\bof\s+{TARGET}", rest):
                continue  # `, so the user`
            if gives["has"] and not gives["mark"]:
                continue  # `the user has`
            before = title_of(gives["mark"]) if gives["mark"] and not gives["so"] else None
            subject = before or target
            others = [title for title in named_here if title != subject]
            others = [target] if target in others else others
            shared = gives["share"] or gives["so"] or "in common" in rest
            for entry in keywords.listed(rest):
                fits = not (shared and others) or any(keywords.has(title, entry) for title in others)
                found.append(keywords.has(subject, entry) and fits)
    return all(found) if found else None

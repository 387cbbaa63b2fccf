"""Whether the keywords that a text gives to items are theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from thinkrec.metrics.reasons.titles import MARK, TARGET, Named, place_of
from thinkrec.metrics.reasons.truth import sentences_of, speaks_of_liking

_BRACKET = re.compile(rf"({MARK.pattern})\s*\(([^()]*)\)")
_WORD = re.compile(r"\w+")


def keywords_fit(
    named: Named, history: Sequence[str], target: str, keywords: Mapping[str, Sequence[str]]
) -> bool | None:
    """Test whether the keywords that a text gives to items are theirs; None where it gives none.

    In a bracket behind a title they must be of that item. Elsewhere they must be the target's, and, where the
    sentence names items of the history, also of one of these. An item has its title's words, too. Only
    keywords of items in the prompt are looked for; words of liking and function words are none.

    Args:
        named: the text, its titles marked.
        history: titles that the prompt shows.
        target: the title asked about.
        keywords: title -> keywords of all items with it.

    Source: our choice.
    """
    own = {title: {word.casefold() for word in keywords.get(title, ())} for title in (*history, target)}
    every = set().union(*own.values())
    every = {word for word in every if word not in ENGLISH_STOP_WORDS and not speaks_of_liking(word)}
    words = {title: set(_WORD.findall(title.casefold())) for title in own}

    def has(title: str, word: str) -> bool:
        return word in own[title] or words[title].issuperset(_WORD.findall(word))

    def title_of(mark: str) -> str | None:
        place = place_of(mark)
        return history[place] if place is not None else target if mark == TARGET else None

    found: list[bool] = []
    for sentence in sentences_of(named):
        for mark, bracket in _BRACKET.findall(sentence):
            title = title_of(mark)
            entries = (entry.strip().casefold() for entry in bracket.split(","))
            found += [has(title, entry) for entry in entries if title is not None and entry in every]
        cited = [title for mark in MARK.findall(sentence) if (title := title_of(mark)) not in (None, target)]
        for word in _said(_BRACKET.sub(r"\1", sentence).casefold(), every):
            found.append(has(target, word) and (not cited or any(has(title, word) for title in cited)))
    return all(found) if found else None


def _said(text: str, words: set[str]) -> list[str]:
    """Return the words or phrases that a text says, the longest where several begin."""
    phrases = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.findall(rf"(?<!\w)(?:{phrases})(?!\w)", text) if words else []

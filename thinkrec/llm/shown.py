"""What a prompt shows of items: titles in quotes, labels and keywords."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from thinkrec.prompts.reception import NAMES

_QUOTED = re.compile(
    r'(?:^(Liked|Disliked) +(?:\S+ +)?)?"([^"\n]+)"(?: \(((?:"[^"\n]*"|[^()"\n])*)\))?(?: ?: (Yes|No)$)?',
    re.MULTILINE,
)
_ENTRY = re.compile(r'"[^"]*"|[^,\s][^,]*')


class Title(NamedTuple):
    """What a prompt shows of the items with one title.

    Args:
        keywords: of all of them, in UTF-8.
        liked: the labels that they have in the history; None for the target's and for hidden ones.
        has: these keywords, and those of other items that are words of the title; quoted ones left out.
    """

    keywords: list[bytes]
    liked: set[bool | None]
    has: set[bytes]


def quoted(prompt: str) -> dict[bytes, Title]:
    """Return the titles in a prompt's double quotes, in UTF-8, with what it shows of them; the target's last.

    Keywords stand in brackets behind a title; those with signs of a list are quoted themselves. Receptions,
    which stand there, too, are no keywords. Labels stand before or behind, see `Line`.
    """
    shown: dict[bytes, Title] = {}
    title = ""
    for before, title, words, after in _QUOTED.findall(prompt):
        keywords, liked, _ = shown.setdefault(title.encode(), Title([], set(), set()))
        entries = (word.strip() for word in _ENTRY.findall(words))
        keywords.extend(word.encode() for word in entries if word not in NAMES)
        liked.add((before or after) in ("Liked", "Yes") if before or after else None)
    if shown:
        shown[title.encode()] = shown.pop(title.encode())
    every = {word: _words(word) for of in shown.values() for word in of.keywords if b'"' not in word}
    for name, of in shown.items():
        said = _words(name)
        of.has.update(every.keys() & of.keywords)
        of.has.update(word for word, own in every.items() if own and own <= said)
    return shown


def target_of(shown: Mapping[bytes, Title]) -> bytes:
    """Return the title asked about: the last one that a prompt quotes."""
    return list(shown)[-1]


def _words(text: bytes) -> set[str]:
    return set(re.findall(r"\w+", text.decode().casefold()))

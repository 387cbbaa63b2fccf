"""Titles in a text: which it names, in quotes or bare, and which of them its prompt shows."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_FIRST, _LAST = 0xE000, 0xF8FF
"""Private-use characters: marks that stand for titles in a masked text."""
OTHER, TARGET = chr(_FIRST), chr(_FIRST + 1)
"""Marks of a title that the prompt does not show, and of the target's."""
_FIRST_ITEM = _FIRST + 2
MAX_PLACE = _LAST - _FIRST_ITEM
"""Highest place in the history with a mark of its own."""
MARK = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_QUOTED = re.compile(r'"([^"]{1,300})"|“([^”]{1,300})”|«([^»]{1,300})»|„([^“”]{1,300})[“”]')
_YEAR = re.compile(r"\s*\(\d{4}\)$")
_ARTICLE = re.compile(r"^(.+), (the|a|an|les?|la|il|el|der|die|das)$", re.IGNORECASE)
_CUT = re.compile(r"\s*(?:…|\.\.\.)$")
_TOKEN = re.compile(r"\w+(?:['\u2019]\w+)*")


def normal(text: str) -> str:
    """Fold case and Unicode forms and keep the words alone, so that the same title reads the same.

    A title without any word keeps its signs.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return " ".join(_TOKEN.findall(folded) or folded.split())


def forms(title: str) -> list[str]:
    """Return the ways in which a title may be written: `Matrix, The (1999)` is `The Matrix`, too.

    Left out may be the year, and what follows a colon.
    """
    bare = _YEAR.sub("", title).strip()
    found = [title.strip(), bare]
    heads = [bare.partition(":")[0].strip()] if ": " in bare else []
    for each in (bare, *heads):
        if inverted := _ARTICLE.match(each):
            heads.append(f"{inverted[2]} {inverted[1]}")
    return [each for each in dict.fromkeys((*found, *heads)) if each]


def _words(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(unicodedata.normalize("NFKC", text)))


@dataclass(frozen=True)
class Named:
    """A text with a mark in place of each title.

    Args:
        text: the masked text.
        shown: marks of titles that the prompt shows, in order.
        others: titles that it does not show, as the text has them.
    """

    text: str
    shown: list[str]
    others: list[str]


@dataclass
class Catalogue:
    """All titles of a data set, to find those that a text names without quotes.

    Only titles of two words or more are looked for, letter by letter: a bare `It` or `Speed` may be a word.

    Args:
        titles: of all items.
    """

    titles: Iterable[str]
    _known: set[str] = field(default_factory=set, init=False)
    _starts: dict[tuple[str, str], list[tuple[str, ...]]] = field(init=False)

    def __post_init__(self) -> None:
        """Index titles by their first two words."""
        starts: defaultdict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
        for title in self.titles:
            for form in forms(title):
                self._known.add(normal(form))
                found = _words(form)
                if len(found) > 1 and any(word[0].isupper() for word in found):
                    starts[found[0], found[1]].add(found)
        self._starts = {key: sorted(each, key=len, reverse=True) for key, each in starts.items()}

    def holds(self, name: str) -> bool:
        """Test whether a name is a title, in one of its forms."""
        return normal(name) in self._known

    def bare(self, text: str) -> list[tuple[int, int]]:
        """Return the places of titles in a text, [(start, end)], the longest where several begin."""
        found = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
        words = [word for word, _, _ in found]
        places, k = [], 0
        while k < len(words) - 1:
            for title in self._starts.get((words[k], words[k + 1]), ()):
                if tuple(words[k : k + len(title)]) == title:
                    places.append((found[k][1], found[k + len(title) - 1][2]))
                    k += len(title) - 1
                    break
            k += 1
        return places


def mark_of(place: int) -> str:
    """Return the mark of the history item at a place; items beyond the six thousandth share one."""
    return chr(min(_FIRST_ITEM + place, _LAST))


def place_of(mark: str) -> int | None:
    """Return the place in the history of a mark; None for the target's and for titles not shown."""
    return ord(mark) - _FIRST_ITEM if ord(mark) >= _FIRST_ITEM else None


class Shown:
    """The titles that a prompt shows: look-up by any of their forms.

    Args:
        history: titles of the history.
        target: title of the target, which goes before the same in the history.
    """

    def __init__(self, history: Sequence[str], target: str) -> None:
        """Index all forms; of equal titles the latest counts."""
        self._marks: dict[str, str] = {}
        for place, title in enumerate(history):
            self._marks.update(dict.fromkeys(map(normal, forms(title)), mark_of(place)))
        self._marks.update(dict.fromkeys(map(normal, forms(target)), TARGET))

    def find(self, name: str) -> str | None:
        """Return the mark of a title as a text names it; one that ends in … matches by its beginning."""
        key = normal(name)
        if key in self._marks or not _CUT.search(name):
            return self._marks.get(key)
        return next((mark for form, mark in self._marks.items() if form.startswith(key)), None)


def _quoted(text: str, shown: Shown, catalogue: Catalogue, others: list[str]) -> str:
    """Put marks in place of quoted titles; quoted words inside round brackets are keywords, not titles."""
    parts, end = [], 0
    for match in _QUOTED.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        name = next(group for group in match.groups() if group is not None).strip()
        mark = shown.find(name)
        before = "".join(parts)
        bracketed = before.count("(") > before.count(")")
        if mark is None and name and not bracketed and (catalogue.holds(name) or not name[0].islower()):
            mark = OTHER
            others.append(name)
        words = name.replace(",", " ") if bracketed else name  # one keyword, not two
        parts.append(f" {mark} " if mark else f" {words} ")
    return "".join([*parts, text[end:]])


def name_titles(text: str, shown: Shown, catalogue: Catalogue) -> Named:
    """Find the titles that a text names.

    A quoted text is a title where it is one's name, or begins with no small letter. Without quotes, titles of
    two words or more are found.
    """
    text = unicodedata.normalize("NFKC", MARK.sub(" ", text))
    others: list[str] = []
    text = _quoted(text, shown, catalogue, others)
    for start, end in reversed(catalogue.bare(text)):
        mark = shown.find(text[start:end])
        if mark is None:
            others.append(text[start:end])
        text = f"{text[:start]} {mark or OTHER} {text[end:]}"
    return Named(text, [mark for mark in MARK.findall(text) if mark != OTHER], others)

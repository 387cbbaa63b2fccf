"""Names that are near a wrong one."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import islice

NEAR = 3
"""Near names that an error gives."""
CONTAINED = 3
"""Letters from which on names that contain them anywhere are near (our choice)."""
BEGIN = 2
"""Letters at least that a name that looks like another begins with, as it does."""
COMPARED = 100
"""Names that are compared letter by letter."""
AMONG = 500
"""Names that are looked at in each way, so that a wrong name costs little (our choice)."""


class Near:
    """Finds names that are near a wrong one.

    All names are searched as one text, a line each: that takes milliseconds for a million of them.

    Args:
        names: that there are.
        cutoff: how alike a near name is, 0 to 1.
    """

    def __init__(self, names: Iterable[str], cutoff: float) -> None:
        """Make the text."""
        self._text = "\n".join(["", *map(plain, names), ""])
        self._cutoff = cutoff

    def same(self, name: str) -> list[int]:
        """Return the places of names that differ in case, accents and spaces alone, at most NEAR."""
        return self._places(islice(self._found(f"\n{plain(name)}\n"), NEAR))

    def find(self, name: str) -> list[int]:
        """Return the places of near names, at most NEAR.

        Names that begin like it come first, then those that contain it, the shortest first; where there are
        none, those that look like it.
        """
        key = plain(name)
        if not key:
            return []
        best = nsmallest(NEAR, self._found(f"\n{key}"), key=self._length)
        if len(best) < NEAR and len(key) >= CONTAINED:
            inside = (line for line in self._found(key) if line not in best)
            best += nsmallest(NEAR - len(best), inside, key=self._length)
        return self._places(best or self._alike(key))

    def _found(self, part: str) -> Iterator[int]:
        """Where lines begin that hold a part, at most AMONG."""
        end = 0
        for _ in range(AMONG):
            place = self._text.find(part, end)
            if place < 0:
                return
            end = self._text.index("\n", place + 1)
            yield self._text.rindex("\n", 0, place + 1) + 1

    def _length(self, line: int) -> int:
        return self._text.index("\n", line) - line

    def _alike(self, key: str) -> list[int]:
        """Where lines begin that look like a name: of those that begin alike, as far as there are any."""
        lines: dict[str, int] = {}
        for size in sorted({len(key) - 1, 3 * len(key) // 4, len(key) // 2, BEGIN}, reverse=True):
            if size >= BEGIN and len(lines) < AMONG:
                for line in self._found(f"\n{key[:size]}"):
                    lines.setdefault(self._text[line : line + self._length(line)], line)
        fits = [
            each for each in lines if 2 * min(len(each), len(key)) >= self._cutoff * (len(each) + len(key))
        ]
        close = difflib.get_close_matches(key, fits[:COMPARED], n=NEAR, cutoff=self._cutoff)
        return [lines[each] for each in close]

    def _places(self, lines: Iterable[int]) -> list[int]:
        return [self._text.count("\n", 0, line) - 1 for line in lines]


def did_you_mean(names: Sequence[str]) -> str:
    """Return the end of an error that offers names; nothing where there are none."""
    quoted = [repr(name) for name in names]
    if len(quoted) > 1:
        quoted = [f"{', '.join(quoted[:-1])} or {quoted[-1]}"]
    return "".join(f"; did you mean {each}?" for each in quoted)


def plain(text: str) -> str:
    """Return a text in small letters, without accents, with single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in apart if not unicodedata.combining(letter)).split())

"""Items by the words of their titles, as somebody types them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from thinkrec.errors import RequestError
from thinkrec.systems.ids import NEAR, near_names, plain

LONGEST = 200
"""Characters of a query that are read (our choice)."""
BRACKETS = r"( \([^)]*\))+$"
"""What may stand behind a title, such as a year."""


class Titles:
    """Titles of items.

    Args:
        titles: by number, from 1.
        known: [items + 1] interactions with each item; of equal matches the better known comes first.
    """

    def __init__(self, titles: Sequence[str], known: np.ndarray) -> None:
        """Keep them."""
        self._titles, self._known = titles, known

    @cached_property
    def _plain(self) -> list[str]:
        return [plain(title) for title in self._titles]

    @cached_property
    def _numbers(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Numbers by whole plain titles, and by what precedes brackets at their ends."""
        whole: dict[str, list[int]] = {}
        short: dict[str, list[int]] = {}
        for number, title in enumerate(self._plain[1:], start=1):
            whole.setdefault(title, []).append(number)
            for place in (bracket.start() for bracket in re.finditer(r" \(", title)):
                if re.fullmatch(BRACKETS, title[place:]):
                    short.setdefault(title[:place], []).append(number)
        return whole, short

    @cached_property
    def _short(self) -> dict[str, int]:
        """The first item of each title without what stands in brackets at its end."""
        return {re.sub(BRACKETS, "", self._plain[n]): n for n in range(len(self._titles) - 1, 0, -1)}

    def find(self, query: str, k: int) -> list[int]:
        """Find the numbers of items whose titles have a word that begins like each word of the query.

        Titles that begin like the query come first, then better known ones. An empty query finds the best
        known items.

        Args:
            query: words; case and accents do not matter.
            k: how many at most.
        """
        asked = plain(query[:LONGEST])
        words = asked.split()
        begins = [
            re.compile(rf"\b{re.escape(word)}" if word[0].isalnum() else re.escape(word)) for word in words
        ]
        found = [
            number
            for number in range(1, len(self._titles))
            if all(word in self._plain[number] for word in words)
            and all(each.search(self._plain[number]) for each in begins)
        ]
        found.sort(
            key=lambda number: (not self._plain[number].startswith(asked), -self._known[number], number)
        )
        return found[:k]

    def number(self, title: str) -> int:
        """Find the number of one item by its title, which need not have what stands in brackets at its end.

        Raises:
            RequestError: no title is like that, or several are.
        """
        asked = plain(title[:LONGEST])
        for names in self._numbers:
            found = names.get(asked, [])
            if len(found) == 1:
                return found[0]
            if found:
                raise RequestError(
                    f"{len(found)} items are called {title[:LONGEST]!r}: {self._quoted(found)}; give an id"
                )
        close = near_names(asked, self._short, 0.6)
        near = (self.find(title, NEAR) if asked else []) or [self._short[name] for name in close]
        hint = f"; near ones are {self._quoted(near)}" if near else ""
        raise RequestError(f"the data set has no item with the id or title {title[:LONGEST]!r}{hint}")

    def _quoted(self, numbers: Sequence[int]) -> str:
        return ", ".join(repr(self._titles[number]) for number in numbers[:NEAR])

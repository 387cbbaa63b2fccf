"""Items by the words of their titles, as somebody types them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from thinkrec.errors import RequestError
from thinkrec.systems.ids import Ids
from thinkrec.systems.near import NEAR, Near, did_you_mean, plain

LONGEST = 200
"""Characters of a query that are read (our choice)."""
ALIKE = 0.6
"""How alike a near title is, 0 to 1 (our choice)."""
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
    def _near(self) -> Near:
        """Titles without what stands in brackets at their ends."""
        return Near([re.sub(BRACKETS, "", title) for title in self._plain[1:]], ALIKE)

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

    def number(self, title: str, ids: Ids | None = None) -> int:
        """Find the number of one item by its title, which need not have what stands in brackets at its end.

        Args:
            title: case and accents do not matter.
            ids: of the items, of which an error gives near ones, too.

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
        near = self._near_names(title[:LONGEST], ids) if asked else []
        raise RequestError(
            f"the data set has no item with the id or title {title[:LONGEST]!r}{did_you_mean(near)}"
        )

    def _near_names(self, name: str, ids: Ids | None) -> list[str]:
        """Near ids and titles: ids that are the same but for case, titles, then other ids."""
        same = ids.same(name) if ids is not None else []
        if len(same) == NEAR:
            return same
        numbers = self.find(name, NEAR) or [place + 1 for place in self._near.find(name)]
        titles = [self._titles[number] for number in numbers]
        others = ids.near(name) if ids is not None else []
        return list(dict.fromkeys([*same, *titles, *others]))[:NEAR]

    def _quoted(self, numbers: Sequence[int]) -> str:
        return ", ".join(repr(self._titles[number]) for number in numbers[:NEAR])

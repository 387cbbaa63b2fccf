"""Raw ids, as a user's own files have them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from thinkrec.errors import RequestError

NEAR = 3
"""Near names that an error gives."""
AMONG = 2000
"""Names with the same beginning that are compared, so that many wrong ids cost little (our choice)."""


class Ids:
    """Raw ids and their numbers in the data set.

    Args:
        raw: ids by number, from 1.
        kind: user or item, for errors.
    """

    def __init__(self, raw: Sequence[str], kind: str) -> None:
        """Number them."""
        self._raw, self._kind = raw, kind
        self._numbers = {name: number for number, name in enumerate(raw) if number}

    def __len__(self) -> int:
        """Count of ids."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        """All ids."""
        return iter(self._raw[1:])

    def __contains__(self, name: object) -> bool:
        """Whether the data set has an id."""
        return name in self._numbers

    def number(self, name: str) -> int:
        """Find the number of an id.

        Raises:
            RequestError: there is none; gives near names.
        """
        number = self._numbers.get(str(name))
        if number is not None:
            return number
        near = near_names(str(name)[:100], self._numbers, 0.5)
        hint = f"; near ones are {', '.join(map(repr, near))}" if near else ""
        raise RequestError(f"the data set has no {self._kind} {str(name)[:100]!r}{hint}")


def near_names(name: str, names: Iterable[str], cutoff: float) -> list[str]:
    """Find names that look like one, among those that begin alike.

    Args:
        name: what was given.
        names: that there are.
        cutoff: how alike, 0 to 1.
    """
    alike = (each for each in names if each[:2] == name[:2] and abs(len(each) - len(name)) <= len(name) // 2)
    return difflib.get_close_matches(name, list(islice(alike, AMONG)), n=NEAR, cutoff=cutoff)

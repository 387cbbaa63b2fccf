"""Raw ids, as a user's own files have them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from heapq import nsmallest
from itertools import islice
from numbers import Number

from thinkrec.errors import RequestError

NEAR = 3
"""Near names that an error gives."""
CONTAINED = 3
"""Letters from which on names that contain them anywhere are near (our choice)."""
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
            RequestError: there is none, and which names are near; or it is neither text nor a number.
        """
        if isinstance(name, bool) or not isinstance(name, str | Number):
            raise RequestError(f"{self._kind}: give an id, as text or a number, not {repr(name)[:100]}")
        number = self._numbers.get(str(name))
        if number is not None:
            return number
        near = [self._plain[each] for each in near_names(plain(str(name)[:100]), self._plain, 0.5)]
        hint = f"; near ones are {', '.join(map(repr, near))}" if near else ""
        raise RequestError(f"the data set has no {self._kind} {str(name)[:100]!r}{hint}")

    @cached_property
    def _plain(self) -> dict[str, str]:
        """Ids by what `plain` makes of them; of several that it makes alike, the last."""
        return {plain(name): name for name in self._numbers}


def near_names(name: str, names: Collection[str], cutoff: float) -> list[str]:
    """Find names that begin with one or contain it, the shortest first; then those that look like it.

    Args:
        name: what was given, as `plain` returns it.
        names: that there are, likewise.
        cutoff: how alike, 0 to 1.
    """
    if not name:
        return []
    anywhere = len(name) >= CONTAINED
    holding = (each for each in names if (name in each if anywhere else each.startswith(name)))
    best = nsmallest(NEAR, holding, key=lambda each: (not each.startswith(name), len(each)))
    alike = (
        each
        for each in names
        if each[:2] == name[:2] and 2 * min(len(each), len(name)) >= cutoff * (len(each) + len(name))
    )
    close = difflib.get_close_matches(name, list(islice(alike, AMONG)), n=NEAR, cutoff=cutoff)
    return list(dict.fromkeys([*best, *close]))[:NEAR]


def plain(text: str) -> str:
    """Return a text in small letters, without accents, with single spaces."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in apart if not unicodedata.combining(letter)).split())

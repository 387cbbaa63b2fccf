"""Raw ids, as a user's own files have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from numbers import Number

from thinkrec.errors import RequestError
from thinkrec.systems.near import Near, did_you_mean

LONGEST = 100
"""Characters of a wrong id that are read and shown (our choice)."""
ALIKE = 0.5
"""How alike a near id is, 0 to 1 (our choice)."""


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
        """Whether the data set has an id, exactly as it is given."""
        return name in self._numbers

    def find(self, name: str) -> int | None:
        """Find the number of an id; None where there is none.

        An id that the data set has exactly as it is given comes first, then the same without spaces at its
        ends, then a whole number without its `.0`.

        Raises:
            RequestError: it is neither text nor a finite number.
        """
        if (number := self._numbers.get(text := self.text(name))) is not None:
            return number
        text = text.strip()
        if (number := self._numbers.get(text)) is not None:
            return number
        whole = re.fullmatch(r"(-?[0-9]+)\.0", text)
        return self._numbers.get(whole[1]) if whole else None

    def number(self, name: str) -> int:
        """Find the number of an id, as `find` does.

        Raises:
            RequestError: there is none, and which ids are near; or it is neither text nor a finite number.
        """
        number = self.find(name)
        if number is None:
            raise self.unknown(name)
        return number

    def name(self, name: str) -> str:
        """Return an id as the data set has it; arguments and errors as of `number`."""
        return self._raw[self.number(name)]

    def unknown(self, name: str, hint: bool = True) -> RequestError:
        """The error that says that there is no such id; with `hint` also which ids are near."""
        asked = self.text(name)[:LONGEST]
        near = self.near(asked) if hint else []
        return RequestError(f"the data set has no {self._kind} {asked!r}{did_you_mean(near)}")

    def near(self, name: str) -> list[str]:
        """Find ids that are near a wrong one."""
        return [self._raw[place + 1] for place in self._near.find(name[:LONGEST])]

    def same(self, name: str) -> list[str]:
        """Find ids that differ from a wrong one in case, accents and spaces alone."""
        return [self._raw[place + 1] for place in self._near.same(name[:LONGEST])]

    def text(self, name: str) -> str:
        """Return an id as text.

        Raises:
            RequestError: it is neither text nor a finite number.
        """
        if isinstance(name, str):
            return name
        if isinstance(name, bool) or not isinstance(name, Number) or str(name) in ("nan", "inf", "-inf"):
            raise RequestError(
                f"{self._kind}: give an id, as text or a finite number, not {repr(name)[:LONGEST]}"
            )
        return str(name)

    @cached_property
    def _near(self) -> Near:
        return Near(self._raw[1:], ALIKE)

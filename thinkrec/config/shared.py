"""Sections of params.yaml whose values hold for others as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHARED: dict[str, tuple[tuple[str, ...], ...]] = {
    "endpoint": (("summarize", "endpoint"), ("synthesize", "endpoint"), ("trajectories", "endpoint")),
    "training": (("global",), ("experts",), ("projector",)),
}
"""Sections whose values hold for others, too, and where those lie, which may override each of them."""


def with_shared(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write the values of shared sections into the sections that do not override them.

    What is no section stays as it is: the checks that follow name it.
    """
    every = dict(given)
    for name, places in SHARED.items():
        shared = given.get(name)
        for parts in places if isinstance(shared, Mapping) else ():
            every = _merged(every, parts, dict(shared or {}))
    return every


def written_as(key: str, values: Mapping[str, Any]) -> str:
    """Return where the value of a dotted key is written: in a shared section, if it comes from there.

    Args:
        key: of a value.
        values: all of params.yaml, with the values that sections inherit.
    """
    for shared, places in SHARED.items():
        for place in places:
            leaf = key.removeprefix(f"{'.'.join(place)}.")
            if leaf == key or leaf not in values[shared]:
                continue
            own: Any = values
            for part in (*place, leaf):
                own = own[part]
            if own == values[shared][leaf]:
                return f"{shared}.{leaf}"
    return key


def _merged(section: Mapping[str, Any], parts: tuple[str, ...], shared: dict[str, Any]) -> dict[str, Any]:
    """A section with shared values below `parts`, where it has none of its own."""
    first, *rest = parts
    own = section.get(first, {})
    if isinstance(own, Mapping):
        own = _merged(own, tuple(rest), shared) if rest else {**shared, **own}
    return {**section, first: own}

"""Two JSON values side by side."""

from __future__ import annotations

from math import isclose
from typing import Any

_ROUNDING = 1e-6
"""Relative distance of figures that sums in another order may make."""


def differing(one: Any, other: Any, place: str = "", rounding: float = _ROUNDING) -> list[str]:
    """Places at which two JSON values differ, by their keys parted with dots."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in sorted({*one, *other}, key=str):
            inside = f"{place}.{key}" if place else str(key)
            if key in one and key in other:
                found += differing(one[key], other[key], inside, rounding)
            else:
                found.append(inside)
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for k, (a, b) in pairs for each in differing(a, b, f"{place}.{k}", rounding)]
    if isinstance(one, float) and isinstance(other, (int, float)):
        return [] if isclose(one, other, rel_tol=rounding, abs_tol=rounding) else [place]
    return [] if one == other else [place]


def listed(places: list[str], most: int = 3) -> str:
    """The first places, and how many more there are."""
    more = f" and {len(places) - most:,} more" if len(places) > most else ""
    return ", ".join(places[:most]) + more

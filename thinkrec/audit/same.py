"""Comparison of JSON values."""

from __future__ import annotations

from math import isclose
from typing import Any

_ROUNDING = 1e-6
"""Relative tolerance for sums in another order."""


def differing(one: Any, other: Any, path: str = "", rounding: float = _ROUNDING) -> list[str]:
    """List the dotted keys at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        paths = []
        for key in sorted({*one, *other}, key=str):
            inner = f"{path}.{key}" if path else str(key)
            if key in one and key in other:
                paths += differing(one[key], other[key], inner, rounding)
            else:
                paths.append(inner)
        return paths
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for k, (a, b) in pairs for each in differing(a, b, f"{path}.{k}", rounding)]
    if isinstance(one, float) and isinstance(other, (int, float)):
        return [] if isclose(one, other, rel_tol=rounding, abs_tol=rounding) else [path]
    return [] if one == other else [path]


def first_few(places: list[str], limit: int = 3) -> str:
    """Join the first few places, and say how many more there are."""
    rest = f" and {len(places) - limit:,} more" if len(places) > limit else ""
    return ", ".join(places[:limit]) + rest

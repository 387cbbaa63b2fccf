"""The scale of ratings, and from which on they are likes."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from thinkrec.data.look.values import Values

_LIKED = 0.6
"""Part of the scale above which a rating is a like: 3 of 5, as in the paper, 6 of 10."""
_HIGHEST = 100
"""Highest end of a scale; what goes beyond are counts."""


class Scale(NamedTuple):
    """A scale of ratings.

    Args:
        lowest: rating in the rows that were looked at.
        highest: rating in them.
        positive_above: ratings above it are likes.
        counts: whether they look like counts, such as plays, rather than ratings.
        likes: share of likes in the rows that were looked at.
    """

    lowest: float
    highest: float
    positive_above: float
    counts: bool
    likes: float


def scale_of(texts: list[str], look: Values) -> Scale:
    """Find the scale of a column of ratings.

    Args:
        texts: its values.
        look: what they look like.
    """
    ratings = sorted(float(text) for text in texts if _is_one(text, look))
    lowest, highest = look.numbers[0], look.numbers[-1]
    counts = highest > _HIGHEST
    if counts:
        limit = ratings[len(ratings) // 2]
    elif lowest < 0:
        limit = (lowest + highest) / 2
    else:
        limit = round(_LIKED * ceil(highest), 2)
    likes = sum(rating > limit for rating in ratings) / len(ratings)
    return Scale(lowest, highest, limit, counts, likes)


def _is_one(text: str, look: Values) -> bool:
    try:
        return look.numbers[0] <= float(text) <= look.numbers[-1]
    except ValueError:
        return False

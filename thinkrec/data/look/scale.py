"""The scale of ratings, and from which on they are likes."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from thinkrec.data.look.values import numbers_in

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


def scale_of(texts: list[str], told: float | None = None) -> Scale | None:
    """Find the scale of a column of ratings.

    Args:
        texts: its values.
        told: the user's own `positive_above`.

    Returns:
        The scale; None if no value is a number.
    """
    ratings = sorted(numbers_in(texts))
    if not ratings:
        return None
    lowest, highest = ratings[0], ratings[-1]
    counts = highest > _HIGHEST
    if told is not None:
        limit = told
    elif counts:
        limit = ratings[len(ratings) // 2]
    elif lowest < 0:
        limit = (lowest + highest) / 2
    else:
        limit = round(_LIKED * ceil(highest), 2)
    likes = sum(rating > limit for rating in ratings) / len(ratings)
    return Scale(lowest, highest, limit, counts, likes)

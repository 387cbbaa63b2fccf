"""The scale of ratings, and from which on they are likes."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from thinkrec.data.look.values import numbers_in

_LIKED = 0.6
"""Part of the scale above which a rating is a like: 3 of 5, as in the paper, 6 of 10."""
_LEAST = 3
"""Fewest ratings of a scale, and its least end, below which a negative number may be one of them."""
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
        unrated: the only negative number, which stands for no rating; None if there is none.
        without: share of the rows that have it.
    """

    lowest: float
    highest: float
    positive_above: float
    counts: bool
    likes: float
    unrated: float | None = None
    without: float = 0


def scale_of(texts: list[str], told: float | None = None, bounded: bool = False) -> Scale | None:
    """Find the scale of a column of ratings.

    Args:
        texts: its values.
        told: the user's own `positive_above`.
        bounded: whether the user says of `min_rating`; then a negative number is a rating.

    Returns:
        The scale; None if no value is a number.
    """
    ratings = sorted(numbers_in(texts))
    if not ratings:
        return None
    unrated, given = None if bounded else _unrated(ratings), len(ratings)
    if unrated is not None:
        ratings = [rating for rating in ratings if rating >= 0]
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
    return Scale(lowest, highest, limit, counts, likes, unrated, 1 - len(ratings) / given)


def _unrated(ratings: list[float]) -> float | None:
    """Return the only negative number below a scale of three or more, such as -1 below 1 to 10."""
    different = sorted(set(ratings))
    if len(different) > _LEAST and different[0] < 0 <= different[1] and different[-1] >= _LEAST:
        return different[0]
    return None

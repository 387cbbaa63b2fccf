"""The format of dates other than 2012-01-03 15:28:18."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import duckdb

from thinkrec.data.database import text_in_sql

_DAYS = (
    "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%Y%m%d",
    "%Y%m%d%H%M%S", "%Y.%m.%d",
    "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%d. %B %Y", "%d-%b-%Y", "%d-%b-%y",
    "%m %d, %Y",
)  # fmt: skip
"""Formats of days; of those that fit alike, the first is taken."""
_TIMES = (
    "", " %H:%M", " %H:%M:%S", ", %H:%M", ", %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p",
    ", %I:%M %p", ", %I:%M:%S %p",
)  # fmt: skip
"""What may follow the day."""
_MAY_BE = re.compile(r"\s*(\d{8}(\D|\d{6}\s*$|\s*$)|\d{1,4}[-/.]\s*\w|[^\W\d]{3,} \d|\d\d? [\w,])")
_PROBES = 100
"""Different texts on which formats are tried first."""
_MOST = 0.95
"""Share of the rows that have to be dates."""
_ORDERED = 0.99
"""Share of neighbours in order from which on a file is ordered."""


class Format(NamedTuple):
    """How dates are written.

    Args:
        text: the format, as `strptime` knows it.
        other: one that fits as well, with day and month swapped; None if there is none.
    """

    text: str
    other: str | None


def format_of(texts: list[str], count: int, connection: duckdb.DuckDBPyConnection) -> Format | None:
    """Find the format of dates.

    Where day and month can't be told apart, the one with which the rows are ordered is taken.

    Args:
        texts: in the order of the file, without those that stand for a missing value.
        count: of the rows, also those with such a text.
        connection: reads them as `prep` does.

    Returns:
        The format; None if they are no dates.
    """
    probes = list(dict.fromkeys(texts))[:_PROBES]
    some = [text for text in probes if _MAY_BE.match(text)]
    if not some or len(some) < len(probes) / 2:
        return None
    readings: dict[tuple[float, ...], str] = {}
    for text in formats():
        moments = tuple(_moments(some, text, connection))
        if len(moments) >= len(some) / 2:
            readings.setdefault(moments, text)
    found = [text for text in readings.values() if len(_moments(texts, text, connection)) >= _MOST * count]
    if len(found) < 2:
        return Format(found[0], None) if found else None
    ordered = [text for text in found if _in_order(texts, text, connection)]
    return Format(ordered[0], None) if len(ordered) == 1 else Format(found[0], found[1])


def formats() -> Iterator[str]:
    """Yield the formats that are known."""
    return (day + time for day in _DAYS for time in _TIMES)


def _moments(texts: list[str], text: str, connection: duckdb.DuckDBPyConnection) -> list[float]:
    """Return the moments from 1990 to 2099 that a format gives, in seconds."""
    query = (
        f"SELECT epoch(moment) FROM (SELECT try_strptime(v, {text_in_sql(text)}) AS moment FROM "
        "(SELECT unnest(?::VARCHAR[]) AS v)) WHERE year(moment) BETWEEN 1990 AND 2099"
    )
    return [moment for (moment,) in connection.execute(query, [texts]).fetchall()]


def _in_order(texts: list[str], text: str, connection: duckdb.DuckDBPyConnection) -> bool:
    """Say whether the moments rise, or fall, in the order of the file."""
    pairs = list(pairwise(_moments(texts, text, connection)))
    rising = sum(one <= other for one, other in pairs)
    falling = sum(one >= other for one, other in pairs)
    return max(rising, falling) >= _ORDERED * len(pairs)

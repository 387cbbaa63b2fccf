"""What the values of a column look like: numbers, moments, ratings, labels, texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from thinkrec.data.database import text_in_sql
from thinkrec.data.look.dates import format_of, formats
from thinkrec.data.readers.custom import DECIMAL_COMMA, DISLIKES, LIKES

_SPANS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""Units a second; as in sql/check_ratings.sql, moments lie from 1990 to 2099."""
_FIRST, _LAST = 631_152_000, 4_102_444_800
_DATE = re.compile(r"\d{4}[-/]\d\d?[-/]\d\d?(?!\d)|\d\d?[-/.]\d\d?[-/.]\d{2,4}(?!\d)|\d\d:\d\d")
LIKED = frozenset({"1", "1.0", *LIKES})
"""Labels of likes, in lower case."""
_DIGITS = re.compile(r"\d{8}(\d{6})?")
"""A date or a moment in digits alone, such as 20120103."""
_LABELS = frozenset({*LIKED, "0", "0.0", *DISLIKES})
NONE = frozenset({"nan", "na", "n/a", "null", "none", "-"})
"""Texts in lower case that stand for a missing value; `prep` leaves rows without a number or a time out."""
_COMMA = re.compile(DECIMAL_COMMA)
_PROBES = 500
"""Different texts on which units are tried first."""
_MOST = 0.95
"""Share of the filled values that have to be of a kind."""


@dataclass(frozen=True)
class Values:
    """What the values of a column look like.

    Args:
        filled: share of rows with a value.
        distinct: how many different ones.
        unique: these by the rows with a value.
        numbers: the different numbers, ascending; empty unless nearly all values are numbers.
        whole: whether these are whole numbers.
        unit: in which nearly all are moments: `text`, `seconds` and so on, or a format; None: they are none.
        swapped: a format that fits as well; None: there is none.
        dated: whether they look like dates, readable or not.
        label: whether all are 0 and 1, true and false, yes and no, like and dislike.
        words: mean number of words.
        parted: share of values that hold several parts, as lists and categories do.
    """

    filled: float
    distinct: int
    unique: float
    numbers: list[float]
    whole: bool
    unit: str | None
    swapped: str | None
    dated: bool
    label: bool
    words: float
    parted: float


def is_number(text: str) -> bool:
    """Say whether a text is a finite number."""
    return number_of(text) is not None


def is_time(text: str) -> bool:
    """Say whether a text looks like a date or a time of day."""
    return _DATE.match(text.strip()) is not None


def numbers_in(texts: Iterable[str]) -> list[float]:
    """Return the finite numbers among texts."""
    return [number for text in texts if (number := number_of(text)) is not None]


def number_of(text: str) -> float | None:
    """Read a finite number, with a decimal point or comma; None if it is none."""
    try:
        number = float(_COMMA.sub(r"\1.\2", text))
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def values_of(texts: list[str], connection: duckdb.DuckDBPyConnection) -> Values:
    """Look at the values of a column; empty ones are missing."""
    filled = [text for text in texts if text.strip()]
    counts = Counter(filled)
    total = max(len(filled), 1)
    present = [text for text in filled if text.strip().lower() not in NONE]
    given = len(present)
    numbers = {text: number for text in counts if (number := number_of(text)) is not None}
    numeric = given > 0 and sum(counts[text] for text in numbers) >= _MOST * given
    found = sorted(set(numbers.values())) if numeric else []
    dates = sum(count for text, count in counts.items() if is_time(text)) >= _MOST * total and bool(filled)
    unit = _unit(counts, numbers, total) if numeric else _text_unit(counts, total, connection)
    may_be_dates = unit is None and (not numeric or any(map(_DIGITS.fullmatch, numbers)))
    written = format_of(present, total, connection) if may_be_dates else None
    some = filled[:2000]
    return Values(
        filled=len(filled) / max(len(texts), 1),
        distinct=len(counts),
        unique=len(counts) / total,
        numbers=found,
        whole=all(number == int(number) for number in found),
        unit=unit or (written and written.text),
        swapped=written and written.other,
        dated=dates,
        label=given > 0 and {text.strip().lower() for text in counts} - NONE <= _LABELS,
        words=sum(len(text.split()) for text in some) / max(len(some), 1),
        parted=sum(text.lstrip()[:1] in ("[", "(") or "|" in text for text in some) / max(len(some), 1),
    )


def are_moments(texts: Iterable[str]) -> bool:
    """Say whether nearly all texts are moments in numbers, each in some unit."""
    numbers = [number_of(text) for text in texts]
    inside = [
        any(_FIRST * scale <= (each or 0) < _LAST * scale for scale in _SPANS.values()) for each in numbers
    ]
    return sum(inside) >= _MOST * len(inside)


def unread_times(texts: list[str]) -> tuple[str, list[int]] | None:
    """Find the rows whose times can't be read, in the unit in which most others can.

    Returns:
        The unit, as in `Values`, and the places of these rows, empty ones as well; None if no unit fits half
        of the filled rows, or one fits all of them.
    """
    different = list(dict.fromkeys(text for text in texts if text.strip()))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        some = different[:_PROBES]
        unit = max((*_SPANS, "text", *formats()), key=lambda each: len(_readable(some, each, connection)))
        read = _readable(different, unit, connection)
    bad = [place for place, text in enumerate(texts) if text not in read]
    filled = sum(bool(text.strip()) for text in texts)
    return (unit, bad) if filled > len(texts) - len(bad) >= filled / 2 else None


def _readable(texts: list[str], unit: str, connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the texts that are moments in a unit."""
    if scale := _SPANS.get(unit):
        return {text for text in texts if _FIRST * scale <= (number_of(text) or 0) < _LAST * scale}
    read = "TRY_CAST(v AS TIMESTAMPTZ)" if unit == "text" else f"try_strptime(v, {text_in_sql(unit)})"
    query = f"SELECT v FROM (SELECT unnest(?::VARCHAR[]) AS v) WHERE year({read}) BETWEEN 1990 AND 2099"
    return {text for (text,) in connection.execute(query, [texts]).fetchall()}


def _unit(counts: Counter[str], numbers: dict[str, float], total: int) -> str | None:
    """Find the unit in which nearly all numbers are moments."""
    for unit, scale in _SPANS.items():
        inside = sum(counts[text] for text, each in numbers.items() if _FIRST * scale <= each < _LAST * scale)
        if inside >= _MOST * total:
            return unit
    return None


def _text_unit(counts: Counter[str], total: int, connection: duckdb.DuckDBPyConnection) -> str | None:
    """Say "text" if nearly all values are dates and times that `prep` reads."""
    texts = [text for text in counts if is_time(text)]
    if not texts:
        return None
    read = _readable(texts, "text", connection)
    return "text" if sum(counts[text] for text in read) >= _MOST * total else None

"""Moments: nanoseconds since 1970, UTC, whatever the precision of the source."""

from __future__ import annotations

from datetime import UTC, date, datetime

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FIRST, LAST = 0, 2**62
"""Moments before and after all others (1970 and 2116)."""


def start_of(day: date) -> int:
    """The first moment (ns, UTC) of a day, within FIRST and LAST."""
    seconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return max(FIRST, min(seconds * SECOND, LAST))


def as_text(moment: int) -> str:
    """A moment (ns) as people read it: whole seconds, or with its fraction where it has one."""
    whole, part = divmod(int(moment), SECOND)
    fraction = f".{part:09d}".rstrip("0") if part else ""
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}{fraction}"

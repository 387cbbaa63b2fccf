"""Timestamps: nanoseconds since 1970, UTC, whatever the precision of the source."""

from __future__ import annotations

from datetime import UTC, date, datetime

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FIRST, LAST = 0, 2**62
"""Lower and upper bound of timestamps (1970 and 2116)."""


def start_of(day: date) -> int:
    """Return the timestamp (ns, UTC) at which a day starts, clipped to FIRST and LAST."""
    seconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return max(FIRST, min(seconds * SECOND, LAST))


def as_text(moment: int) -> str:
    """Format a timestamp (ns) as date and time, with a fraction of a second if it has one."""
    whole, part = divmod(int(moment), SECOND)
    fraction = f".{part:09d}".rstrip("0") if part else ""
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}{fraction}"

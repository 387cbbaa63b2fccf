"""Progress bars: bars on a terminal, occasional lines in a log."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import tqdm

EVERY = 60.0
"""Seconds between two lines in a log."""
SHORT = 10.0
"""Seconds; shorter bars write nothing to a log."""


class Bar(tqdm):
    """A tqdm bar on a terminal; elsewhere lines with progress, estimated time left and time taken.

    As with tqdm, a bar without `leave` writes no line at its end.

    Args:
        at_most: whether the total is an upper bound; no time left is then estimated.
    """

    lines = False

    def __init__(self, *args: Any, at_most: bool = False, **options: Any) -> None:
        """See tqdm for the other arguments."""
        self.lines, self.at_most, self._last_line = not sys.stderr.isatty(), at_most, 0.0
        super().__init__(*args, **options, gui=self.lines)  # gui: tqdm leaves drawing to us

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or write a line if the last one is old enough."""
        if not self.lines:
            return bool(super().display(msg, pos))
        now = self._time()
        ends = self._leaves_line() and self.n == self.total  # the last line follows
        if now - max(self._last_line, self.start_t) >= EVERY and not ends:
            self._last_line = now
            self._write(self._remaining(now - self.start_t))
        return True

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar from the terminal; lines stay."""
        if not self.lines:
            super().clear(nolock)

    def skip(self) -> None:
        """Advance by one that was done before; the time estimate ignores it."""
        if not self.disable:
            self.initial += 1
        self.update()

    def close(self) -> None:
        """Close the bar; in a log, write a line with the time taken."""
        if self.lines and not getattr(self, "disable", True) and self._leaves_line():
            took = self._time() - self.start_t
            if took >= SHORT:
                self._write(f", took {duration(took)}")
        super().close()

    def _leaves_line(self) -> bool:
        return self.pos == 0 if self.leave is None else bool(self.leave)

    def _remaining(self, elapsed: float) -> str:
        done = self.n - self.initial
        if self.at_most or not self.total or not 0 < done < self.total - self.initial:
            return f", {duration(elapsed)} so far"
        return f", about {duration(elapsed / done * (self.total - self.n))} left"

    def _write(self, rest: str) -> None:
        parts = [self._amount(self.n)]
        if self.total:
            parts += ["of at most" if self.at_most else "of", self._amount(self.total)]
        if not self.unit_scale:
            parts.append(self.unit + "s" * self.unit.isalpha())
        name = self.desc.removesuffix(": ")  # added by set_description
        self.fp.write(f"{name}: {' '.join(parts)}{rest}\n")
        self.fp.flush()

    def _amount(self, value: float) -> str:
        return str(self.format_sizeof(value, self.unit) if self.unit_scale else f"{value:,.0f}")


class AboveBars(logging.StreamHandler):
    """A handler that writes log lines above the terminal's bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def duration(seconds: float) -> str:
    """Format a duration: 40 s, 6 min, 2 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

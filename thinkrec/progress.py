"""The one place of progress bars: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import tqdm

EVERY = 60.0
"""Seconds between two lines of a bar in a log."""
SHORT = 10.0
"""Seconds; what takes no longer writes nothing to a log."""


class Bar(tqdm):
    """A tqdm bar on a terminal; elsewhere whole lines: what, how far, about how long still, how long it took.

    As with tqdm, a bar that does not stay (`leave`) has no line at its end.

    Args:
        at_most: the total is a bound that is seldom reached, so that no time left follows from it.
    """

    lines = False

    def __init__(self, *args: Any, at_most: bool = False, **options: Any) -> None:
        """See tqdm for the other arguments."""
        self.lines, self.at_most, self._told = not sys.stderr.isatty(), at_most, 0.0
        super().__init__(*args, **options, gui=self.lines)  # tqdm's switch for bars that draw themselves

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or write a line where the last one is old enough."""
        if not self.lines:
            return bool(super().display(msg, pos))
        now = self._time()
        ends = self._stays() and self.n == self.total  # the last line follows
        if now - max(self._told, self.start_t) >= EVERY and not ends:
            self._told = now
            self._write(self._left(now - self.start_t))
        return True

    def clear(self, nolock: bool = False) -> None:
        """Take the bar off the terminal; lines stay."""
        if not self.lines:
            super().clear(nolock)

    def skip(self) -> None:
        """Move on by one that was done before: it took no time, which the estimate leaves out."""
        if not self.disable:
            self.initial += 1
        self.update()

    def close(self) -> None:
        """End it, in a log with a line that says how long it took."""
        if self.lines and not getattr(self, "disable", True) and self._stays():
            took = self._time() - self.start_t
            if took >= SHORT:
                self._write(f", took {spoken(took)}")
        super().close()

    def _stays(self) -> bool:
        return self.pos == 0 if self.leave is None else bool(self.leave)

    def _left(self, elapsed: float) -> str:
        done = self.n - self.initial
        if self.at_most or not self.total or not 0 < done < self.total - self.initial:
            return f", {spoken(elapsed)} so far"
        return f", about {spoken(elapsed / done * (self.total - self.n))} left"

    def _write(self, rest: str) -> None:
        parts = [self._amount(self.n)]
        if self.total:
            parts += ["of at most" if self.at_most else "of", self._amount(self.total)]
        if not self.unit_scale:
            parts.append(self.unit + "s" * self.unit.isalpha())
        said = self.desc.removesuffix(": ")  # which set_description adds
        self.fp.write(f"{said}: {' '.join(parts)}{rest}\n")
        self.fp.flush()

    def _amount(self, value: float) -> str:
        return str(self.format_sizeof(value, self.unit) if self.unit_scale else f"{value:,.0f}")


class AboveBars(logging.StreamHandler):
    """Writes a log's lines above the bars of a terminal, not into them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def spoken(seconds: float) -> str:
    """A length of time as one says it: 40 s, 6 min, 2 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

"""Progress: bars on a terminal, an occasional line in a log, a JSON record in a machine's log."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from threading import RLock
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TextIO
from weakref import WeakSet

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 60.0
"""Seconds between two lines in a log."""
SHORT = 10.0
"""Seconds; shorter bars write nothing to a log."""
WIDE = 100
"""Columns of a terminal on which a bar shows values as well."""
log = logging.getLogger(__name__)


class Bar:
    """A bar on a terminal; elsewhere lines with progress, estimated time left and time taken.

    A terminal that shows no colours (`NO_COLOR`, `TERM=dumb`) gets lines, too: without a single escape code.

    Args:
        iterable: that the bar goes over, where it is iterated.
        total: at the end; None for that of the iterable, if it has a length.
        desc: name of the work.
        unit: of the count, in the singular.
        unit_scale: whether the count is in bytes.
        initial: done before; the time estimate ignores it.
        leave: whether a line stays at the end; None: only if no other bar is open.
        disable: whether to show nothing at all.
        at_most: whether the total is an upper bound; no time left is then estimated.
    """

    records: ClassVar[bool] = False
    """Whether a line is a log record with the figures in its `progress`, for a formatter that shows them."""

    def __init__(
        self,
        iterable: Iterable[Any] | None = None,
        *,
        desc: str | None,
        total: float | None = None,
        unit: str = "step",
        unit_scale: bool = False,
        initial: float = 0,
        leave: bool | None = True,
        disable: bool = False,
        at_most: bool = False,
    ) -> None:
        """Show the bar."""
        self._iterable = () if iterable is None else iterable
        self.total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self.n, self._initial, self._at_most = initial, initial, at_most
        self._desc, self._unit, self._bytes, self._note = desc or "", unit, unit_scale, ""
        self._leaves = not _open if leave is None else leave
        self._start = self._told = monotonic()
        self._task: TaskID | None = None
        self._closed = disable
        if not disable:
            _open.add(self)
            self._task = _add() if is_drawn() else None
            self.refresh()

    def __enter__(self) -> Self:
        """Return the bar."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        self.close()

    def __iter__(self) -> Iterator[Any]:
        """Go over the iterable; the bar closes at its end."""
        with self:
            for each in self._iterable:
                yield each
                self.update()

    def __del__(self) -> None:
        """Remove the bar of a work that an error ended."""
        if not getattr(self, "_closed", True) and not sys.is_finalizing():
            self._leaves = False
            self.close()

    def update(self, count: float = 1) -> None:
        """Advance by a count."""
        self.n += count
        self.refresh()

    def skip(self) -> None:
        """Advance by one that was done before; the time estimate ignores it."""
        self._initial += 1
        self.update()

    def set_description(self, desc: str) -> None:
        """Change the name of the work."""
        self._desc = desc
        self.refresh()

    def set_postfix(self, **notes: Any) -> None:
        """Show values, by name, at the end of a bar on a terminal."""
        self._note = ", ".join(f"{name} {value}" for name, value in notes.items())
        self.refresh()

    def refresh(self) -> None:
        """Draw the bar, or write a line if the last one is old enough."""
        if self._closed:
            return
        if self._task is not None:
            self._draw("" if self._left() is None else self._rest())
            return
        ends = self._leaves and self.n == self.total  # the last line follows
        if monotonic() - self._told >= EVERY and not ends:
            self._told = monotonic()
            self._tell(self._rest(), self._left())

    def close(self) -> None:
        """Close the bar; a line with the time taken stays, in a log if it was long."""
        if self._closed:
            return
        took = monotonic() - self._start
        if self._task is not None:
            _remove(self._task, self._line(f"took {duration(took)}") if self._leaves else "")
        elif self._leaves and took >= SHORT:
            self._tell(f"took {duration(took)}", 0.0)
        self._closed = True
        _open.discard(self)

    def _title(self) -> str:
        named = not _stage or self._desc.startswith(_stage)
        return self._desc if named else f"{_stage}: {self._desc}"

    def _left(self) -> float | None:
        """Return the estimated seconds to the end, by the mean time so far."""
        done = self.n - self._initial
        if self._at_most or not self.total or not 0 < done < self.total - self._initial:
            return None
        return (monotonic() - self._start) / done * (self.total - self.n)

    def _rest(self) -> str:
        left = self._left()
        if left is not None:
            return f"about {duration(left)} left"
        return f"{duration(monotonic() - self._start)} so far"

    def _amounts(self, of: str) -> str:
        total = of + self._amount(self.total) if self.total else ""
        unit = "" if self._bytes else f" {self._unit}{'s' * self._unit.isalpha()}"
        return f"{self._amount(self.n)}{total}{unit}"

    def _amount(self, value: float) -> str:
        if not self._bytes:
            return f"{value:,.0f}"
        from rich.filesize import decimal

        return decimal(int(value))

    def _line(self, rest: str) -> str:
        of = " of at most " if self._at_most else " of "
        return f"{self._title()}: {self._amounts(of)}, {rest}"

    def _draw(self, rest: str) -> None:
        with _lock:
            if _screen is not None and self._task in _screen.task_ids:
                said: dict[str, Any] = {"title": self._title(), "amounts": self._amounts("/"), "rest": rest}
                _screen.update(self._task, completed=self.n, total=self.total, **said, note=self._note)

    def _tell(self, rest: str, left: float | None) -> None:
        line = self._line(rest)
        if not self.records:
            print(line, file=sys.stderr, flush=True)
            return
        figures = {
            "stage": _stage or None,
            "what": self._desc,
            "done": self.n,
            "total": self.total,
            "unit": self._unit,
            "seconds": round(monotonic() - self._start, 1),
            "seconds_left": None if left is None else round(left, 1),
        }
        log.info("%s", line, extra={"progress": figures})


class AboveBars(logging.StreamHandler[TextIO]):
    """A handler that writes to stderr, on a terminal above its bars."""

    def __init__(self) -> None:
        """Write to whatever is stderr when a line comes: with bars on it, they put the line above them."""
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The stream now."""
        return sys.stderr


_open: WeakSet[Bar] = WeakSet()
"""Bars that are not closed."""
_lock = RLock()
_screen: Progress | None = None
"""The terminal's bars, while there are some."""
_stage = ""


def is_drawn() -> bool:
    """Whether bars are drawn: on a terminal that has colours, unless lines are wanted as records."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return sys.stderr.isatty() and not plain and not Bar.records


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name the stage that runs, at the beginning of its bars."""
    global _stage
    before, _stage = _stage, name
    try:
        yield
    finally:
        _stage = before


def close_all() -> None:
    """Remove all bars, after an error: a terminal has its cursor again, and what follows stands alone."""
    global _screen
    with _lock:
        for bar in list(_open):
            bar._leaves = False
            bar.close()
        if _screen is not None:
            _screen.stop()
            _screen = None


atexit.register(close_all)


def _add() -> TaskID:
    """Add an empty bar to the terminal's, which appear with the first."""
    global _screen
    with _lock:
        if _screen is None:
            _screen = _new_screen()
            _screen.start()
        return _screen.add_task("", title="", amounts="", rest="", note="")


def _new_screen() -> Progress:
    """Return the terminal's bars, none yet."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.text import Text

    class Rest(ProgressColumn):
        """Time left or taken; where neither is known, the time so far, which goes on between two steps."""

        def render(self, task: Task) -> Text:
            said = task.fields["rest"] or f"{duration(task.elapsed or 0)} so far"
            return Text(said, style="cyan", no_wrap=True)

    def text(field: str, style: str = "none") -> TextColumn:
        return TextColumn(f"{{task.fields[{field}]}}", style, markup=False)

    console = Console(stderr=True, force_terminal=True)
    columns = [SpinnerColumn(), text("title", "bold"), BarColumn(20), text("amounts"), Rest()]
    if console.width >= WIDE:
        columns.append(text("note", "dim"))
    redirected = sys.stdout.isatty()  # elsewhere stdout is a file or another program
    return Progress(*columns, console=console, transient=True, redirect_stdout=redirected)


def _remove(task: TaskID, line: str) -> None:
    """Remove a bar; its last line, if any, stands above the others. The last bar ends the screen."""
    global _screen
    from rich.text import Text

    with _lock:
        if _screen is None or task not in _screen.task_ids:
            return
        _screen.remove_task(task)
        if line:
            _screen.console.print(Text(line))
        if not _screen.tasks:
            _screen.stop()
            _screen = None


def duration(seconds: float) -> str:
    """Format a duration: 40 s, 6 min, 2 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

"""Work that ends early because nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WANTED: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


class UnwantedError(Exception):
    """Nobody waits for the result."""


@contextmanager
def while_wanted(wanted: Callable[[], bool]) -> Iterator[None]:
    """Let the work of a block end early.

    Args:
        wanted: asked between batches of scores and between tokens of a text.
    """
    before = _WANTED.set(wanted)
    try:
        yield
    finally:
        _WANTED.reset(before)


def check_wanted() -> None:
    """Return if the work is still wanted, which it always is outside `while_wanted`.

    Raises:
        UnwantedError: it is not.
    """
    wanted = _WANTED.get()
    if wanted is not None and not wanted():
        raise UnwantedError("nobody waits for this any more")

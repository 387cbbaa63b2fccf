"""Retry with smaller sizes when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

Found = TypeVar("Found")
Size = TypeVar("Size")
_FULL = ("out of memory", "can't allocate memory", "not enough memory")
"""Messages of libraries about full memory, in addition to those that accelerate knows."""


def is_full(error: RuntimeError | MemoryError) -> bool:
    """Return whether an error means that memory, of the GPU or the machine, ran out."""
    known = isinstance(error, MemoryError) or should_reduce_batch_size(error)
    return known or any(words in str(error) for words in _FULL)


def fitting(
    run: Callable[[Size], Found], size: Size, smaller: Callable[[Size], Size | None]
) -> tuple[Found, Size]:
    """Run with a size, and with smaller ones while memory runs out.

    Args:
        run: called with each size.
        size: the first size: a number of rows, or anything else that can be reduced.
        smaller: returns the size after one that does not fit, or None to raise the memory error; it may also
            raise an error of its own.

    Returns:
        The result of `run`, and the size that fits.
    """
    while True:
        try:
            return run(size), size
        except (RuntimeError, MemoryError) as error:
            less = smaller(size) if is_full(error) else None
            if less is None:
                raise
        # Outside the handler, whose traceback keeps the tensors that did not fit alive.
        clear_device_cache(garbage_collection=True)
        size = less

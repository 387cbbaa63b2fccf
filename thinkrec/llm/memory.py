"""What is done where memory does not suffice: less at a time, until it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

Found = TypeVar("Found")
Size = TypeVar("Size")
_FULL = ("out of memory", "can't allocate memory", "not enough memory")
"""What libraries say of full memory, beside what accelerate knows."""


def is_full(error: RuntimeError | MemoryError) -> bool:
    """Whether an error says that memory, of the GPU or of the machine, does not suffice."""
    known = isinstance(error, MemoryError) or should_reduce_batch_size(error)
    return known or any(words in str(error) for words in _FULL)


def fitting(
    run: Callable[[Size], Found], size: Size, smaller: Callable[[Size], Size | None]
) -> tuple[Found, Size]:
    """Run with a size, and with ever smaller ones for as long as memory does not suffice.

    Args:
        run: what is run, anew with each size.
        size: the first one: a count of rows, or whatever else can be made smaller.
        smaller: from a size that does not fit to the next; None where there is none, which lets the error
            of memory through, or an error of its own.

    Returns:
        What the run gave, and the size that fits.
    """
    while True:
        try:
            return run(size), size
        except (RuntimeError, MemoryError) as error:
            less = smaller(size) if is_full(error) else None
            if less is None:
                raise
        # Outside of the handler, which would hold on to what did not fit.
        clear_device_cache(garbage_collection=True)
        size = less

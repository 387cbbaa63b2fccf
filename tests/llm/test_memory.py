"""Less at a time, for errors of memory alone."""

from __future__ import annotations

import pytest
import torch

from thinkrec.errors import ModelError
from thinkrec.llm.memory import fitting, is_full


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED."), True),
        (MemoryError(), True),
        (RuntimeError("shapes do not fit"), False),
        (RuntimeError(), False),
    ],
)
def test_what_says_that_memory_is_full(error: RuntimeError | MemoryError, full: bool) -> None:
    assert is_full(error) == full


def run(size: int) -> str:
    if size > 3:
        raise MemoryError(size)
    return "x" * size


def test_the_first_size_that_fits_is_told() -> None:
    assert fitting(run, 2, lambda size: size // 2) == ("xx", 2)
    assert fitting(run, 16, lambda size: size // 2) == ("xx", 2)


def test_without_a_smaller_size_the_error_goes_through() -> None:
    with pytest.raises(MemoryError, match="8"):
        fitting(run, 16, lambda size: size // 2 if size > 8 else None)


def test_a_smaller_size_may_be_refused_in_own_words() -> None:
    def none_is_left(size: int) -> int:
        raise ModelError(f"{size} is too much")

    with pytest.raises(ModelError, match="16 is too much"):
        fitting(run, 16, none_is_left)

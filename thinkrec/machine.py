"""Memory and cores of this machine, within a container's limits, and whether it has bfloat16."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Folder of a container's limits (cgroup version 2)."""


def free_memory() -> tuple[int, int]:
    """Return the free and the whole memory in bytes, neither above a container's limit."""
    now = psutil.virtual_memory()
    try:
        total = min(now.total, int((CGROUP / "memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        total = now.total
    return min(now.available, total), total


def core_limit() -> int | None:
    """Return how many cores a container may use, at least 1; None without a limit."""
    try:
        most, period = (CGROUP / "cpu.max").read_text().split()
        return max(int(most) // int(period), 1)
    except (OSError, ValueError):
        return None


def has_bfloat16() -> bool:
    """Test for instructions for bfloat16: of the GPU, if there is one, else of the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())

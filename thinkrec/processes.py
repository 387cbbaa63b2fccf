"""Processes of a distributed training, started by torchrun or `accelerate launch`."""

from __future__ import annotations

import os


def world_size() -> int:
    """Return the number of processes; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the rank of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0

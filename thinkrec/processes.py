"""Processes that train together, as torchrun or `accelerate launch` has started them."""

from __future__ import annotations

import os


def together() -> int:
    """How many there are; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0")) if together() > 1 else 0

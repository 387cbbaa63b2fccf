"""The protocols of evaluation: what histories of scored rows hold; docs/metrics.md explains them."""

from __future__ import annotations

from typing import Literal, get_args

Protocol = Literal["frozen", "rolling", "train"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

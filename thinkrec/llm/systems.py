"""The systems that a language model makes: one table of switches, no copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class System:
    """What a system is made of.

    Args:
        adapters: none (bare backbone), the global LoRA for everybody, or experts fused per user.
        vectors: collaborative vectors stand in the prompt.
    """

    adapters: Literal["none", "global", "fused"]
    vectors: bool


SYSTEMS = {
    "backbone": System("none", vectors=False),
    "global": System("global", vectors=False),
    "experts": System("fused", vectors=False),
    "thinkrec": System("fused", vectors=True),
}

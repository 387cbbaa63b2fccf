"""What the language model's systems are made of: one table of switches, no copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Parts:
    """What is put on the backbone.

    Args:
        adapters: none (bare backbone), the global LoRA for everybody, or experts fused per user.
        vectors: collaborative vectors stand in the prompt.
        reasons: it was trained to say why.
    """

    adapters: Literal["none", "global", "fused"]
    vectors: bool = False
    reasons: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Its artifacts, besides the interactions; `{key}` is a value of params.yaml.

        Reasons have rationales beside them.
        """
        adapters = {
            "none": (),
            "global": ("global_adapter",),
            "fused": ("global_adapter", "clusters", "experts", "encoders/{cluster.encoder}"),
        }[self.adapters]
        further = {"projector": self.vectors, "rationales": self.reasons}
        return ("items", "keywords", "backbone", *adapters, *(each for each in further if further[each]))


LANGUAGE = {
    "backbone": Parts("none"),
    "global": Parts("global"),
    "experts": Parts("fused"),
    "thinkrec": Parts("fused", vectors=True, reasons=True),
}

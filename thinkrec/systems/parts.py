"""What the language model's systems are made of: one table of switches, from the table of variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from thinkrec.variants import DEFAULT, VARIANTS, without_projector


@dataclass(frozen=True)
class Parts:
    """What is put on the backbone.

    Args:
        variant: whose adapters.
        adapters: none (bare backbone), the global LoRA for everybody, or experts fused per user.
        vectors: collaborative vectors stand in the prompt.
        reasons: it was trained to say why.
    """

    variant: str
    adapters: Literal["none", "global", "fused"]
    vectors: bool = False
    reasons: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Its artifacts, besides the interactions; `{key}` is a value of params.yaml.

        Reasons have rationales beside them.
        """
        own = f"@{self.variant}"
        switches = {
            f"global_adapter{own}": self.adapters != "none",
            "clusters": self.adapters == "fused",
            f"experts{own}": self.adapters == "fused",
            "encoders/{cluster.encoder}": self.adapters == "fused" or self.vectors,
            f"projector{own}": self.vectors,
            "rationales": self.reasons,
        }
        return ("items", "keywords", "backbone", *(name for name, needed in switches.items() if needed))


def _of_variants() -> Iterator[tuple[str, Parts]]:
    for name, variant in VARIANTS.items():
        own = Parts(name, "fused" if variant.experts else "global", variant.projector, variant.rationales)
        if variant.projector:
            yield without_projector(name), replace(own, vectors=False, reasons=False)
        yield name, own


LANGUAGE = {"backbone": Parts(DEFAULT, "none"), "global": Parts(DEFAULT, "global"), **dict(_of_variants())}
"""The language model's systems, each variant without and with its projector."""

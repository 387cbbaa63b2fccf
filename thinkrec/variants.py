"""The table of variants: the paper's method, its ablations, and its baselines on the same language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """One way to train the language model.

    Its adapters lie in models/D/adapters/NAME. A part that two variants train alike is trained once and
    copied.

    Args:
        name: of the folder, of the system in reports, and of `--variant`.
        help: what it is, in a sentence.
        rationales: trained jointly on rationales, so that it says why.
        experts: a LoRA for each group of users, fused for each user.
        projector: collaborative vectors stand in the prompt.
        prompt: values of `prompt` in params.yaml that it is trained and asked with instead.
    """

    name: str
    help: str
    rationales: bool = True
    experts: bool = True
    projector: bool = True
    prompt: Mapping[str, Any] = field(default_factory=dict)


_TITLES = {"keywords": 0, "reception": False, "history_items": "liked"}
_ROWS = (
    Variant("thinkrec", "The whole method."),
    Variant("thinkrec-no-think", "Without rationales (paper, Table 4).", rationales=False),
    Variant("thinkrec-no-experts", "The global LoRA for everybody (paper, Table 4).", experts=False),
    Variant("thinkrec-no-both", "Without rationales and experts.", rationales=False, experts=False),
    Variant("thinkrec-no-keywords", "Titles alone.", prompt={"keywords": 0, "reception": False}),
    Variant("thinkrec-no-labels", "Histories without verdicts.", prompt={"history_labels": False}),
    Variant("tallrec", "Titles of liked items, one LoRA.", False, False, False, _TITLES),
    Variant("collm", "TALLRec, then a projector.", False, False, True, _TITLES),
)
VARIANTS = {variant.name: variant for variant in _ROWS}
"""Variants by name. Source: ThinkRec, sections 4.1 and 4.4; `-no-keywords` and `-no-labels` are ours."""

DEFAULT = "thinkrec"
"""The variant that is meant where none is named."""


def without_projector(name: str) -> str:
    """The system of a variant whose projector is left out."""
    return f"{name}-no-projector"


def needs_vectors(system: str) -> bool:
    """Return whether a system of a variant reads the vectors that users are grouped by."""
    variant = VARIANTS.get(system.removesuffix(without_projector("")))
    return variant is not None and (variant.experts or (variant.projector and system in VARIANTS))


RENAMED = ("experts", without_projector(DEFAULT))
"""The system of an earlier version that has another name now, and that name."""


def systems_of(name: str) -> list[str]:
    """The systems of a variant: without and with its projector, where it has one."""
    return [without_projector(name), name] if VARIANTS[name].projector else [name]

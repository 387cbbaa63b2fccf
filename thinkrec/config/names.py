"""Names that parameters choose from: encoders, systems, and who takes part in the agent's comparison."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

from thinkrec.variants import DEFAULT, VARIANTS, systems_of, without_projector

Encoder = Literal["mf", "mf_no_biases", "lightgcn", "sasrec", "gsasrec", "sasrec_labels", "gsasrec_labels"]
ENCODERS: list[Encoder] = list(get_args(Encoder))
GROUPS = ("encoders", "variants")
"""Stand for all of `cf.models`, and for the systems of all of `variants`."""
SCORING: list[str] = [
    *ENCODERS, "gbdt", "backbone", "global", *(system for name in VARIANTS for system in systems_of(name)),
]  # fmt: skip
"""Systems that score a row, but for the floors."""
Counted = Literal["popularity", "recent_popularity", "item_mean"]
"""What is counted before a case's moment and ranks its candidates."""
Investigator = Literal["no_tools", "fixed_tools", "untrained", "sft", "grpo", "scripted"]
"""Agents, from the bare model to the trained one, and the script."""


def _one_of(known: Iterable[str]) -> AfterValidator:
    """Refuse other names, with the nearest of those that are known."""

    def check(name: str) -> str:
        if name in known:
            return name
        if name == "experts":
            raise ValueError(f"is now called `{without_projector(DEFAULT)}`")
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"no system is called `{name[:80]}`; {hint}")

    return AfterValidator(check)


Scoring = Annotated[str, _one_of([*GROUPS, *SCORING])]
AgentSystem = Annotated[str, _one_of([*get_args(Counted), *SCORING, *get_args(Investigator)])]


def _variant(name: str) -> str:
    if name not in VARIANTS:
        raise ValueError(f"no variant is called `{name[:80]}`; there are {', '.join(VARIANTS)}")
    return name


VariantName = Annotated[str, AfterValidator(_variant)]

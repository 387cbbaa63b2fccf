"""Names that parameters choose from: encoders, systems, and who takes part in the agent's comparison."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator

from thinkrec.variants import RENAMED, VARIANTS, systems_of

ENCODERS: dict[str, dict[str, float]] = {
    "mf": {"weight_decay": 2e-4},
    "mf_no_biases": {"weight_decay": 2e-4},
    "lightgcn": {"weight_decay": 4e-5},
    "sasrec": {},
    "gsasrec": {},
    "sasrec_labels": {"learning_rate": 1e-3},
    "gsasrec_labels": {"learning_rate": 1e-3},
}
"""Collaborative encoders, and what of `cf.encoders` they begin with, where it differs from EncoderChoice."""
if TYPE_CHECKING:
    Encoder = str
else:
    Encoder = Literal[tuple(ENCODERS)]
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
        if name == RENAMED[0]:
            raise ValueError(f"`{name}` is now called `{RENAMED[1]}`")
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

"""Kinds of rows in tables: systems, floors and ceilings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from thinkrec.metrics.floors import CEILING, FLOORS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN
from thinkrec.metrics.slices import Evaluation, ahead
from thinkrec.protocols import Protocol
from thinkrec.variants import VARIANTS, without_projector

TRUTH = "truth"
REASONS = "reasons"
SEEDS = "test/seeds"
"""Key among a system's slices in metrics.json if it was trained with several seeds."""
SHUFFLED = "test/shuffled"
"""Key of the shuffled control among a system's slices in metrics.json."""
Kind = Literal["system", "floor", "ceiling"]
Metrics = Mapping[str, Mapping[str, Mapping[str, Any]]]
Winners = dict[str, dict[str, str]]
"""slice -> metric -> the system that is ahead of all others, if there is one."""

MEANING = {
    "random": "any order: expected values",
    "popularity": "train rows of the item",
    "item_mean": "smoothed like share of the item in train",
    "user_mean": "smoothed like share of the user in train",
    MINUS_RUNNING_MEAN: "minus the user's share of likes so far: it knows no taste; rolling histories only",
    "user_item_mean": "smoothed like shares of item and user in train",
    TRUTH: "the probabilities that the data were generated from: nothing can do better, except by luck",
    "backbone": "the language model as it is",
    "global": "the LoRA trained on all data, for everybody",
    **{name: variant.help.rstrip(".") for name, variant in VARIANTS.items()},
    **{
        without_projector(name): f"{name} before its projector: no collaborative vectors in the prompt"
        for name, variant in VARIANTS.items()
        if variant.projector
    },
    CEILING: "the labels themselves: highest value that the metric can take",
}

PROTOCOL_MEANING: dict[Protocol, str] = {
    "frozen": "histories end where the scored split begins: all candidates of a user are asked about at one "
    "moment, and no label of the split is read",
    "rolling": "histories hold all earlier rows, the scored split's too: each row is asked about at its own "
    "moment",
    "train": "histories hold train rows only",
}


def kind(system: str) -> Kind:
    """Return the kind of a name in metrics.json."""
    if system in FLOORS or system == MINUS_RUNNING_MEAN:
        return "floor"
    return "ceiling" if system in (TRUTH, CEILING) else "system"


def ordered(metrics: Metrics) -> list[str]:
    """Sort names for tables: floors, systems, ceilings; stable within a kind."""
    rank = {"floor": 0, "system": 1, "ceiling": 2}
    return sorted((name for name in metrics if name != REASONS), key=lambda name: rank[kind(name)])


def winners(evaluation: Evaluation) -> Winners:
    """Find the system that is ahead of all others, by slice and metric, if there is one.

    Its paired differences to all other systems and floors must have intervals above 0. Ceilings do not
    compete, and floors are never named.
    """
    rivals = [name for name in evaluation.metrics if kind(name) != "ceiling"]
    leaders = ahead(evaluation, rivals)
    return {
        part: {metric: best for metric, best in each.items() if kind(best) == "system"}
        for part, each in leaders.items()
    }

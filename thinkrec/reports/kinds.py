"""What a row of the tables is: a system, a floor that needs no model, or a ceiling that knows too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from thinkrec.metrics.floors import CEILING, FLOORS
from thinkrec.metrics.ranking import METRICS

TRUTH = "truth"
REASONS = "reasons"
Kind = Literal["system", "floor", "ceiling"]
Metrics = Mapping[str, Mapping[str, Mapping[str, Any]]]

MEANING = {
    "random": "any order: expected values",
    "popularity": "train rows of the item",
    "item_mean": "smoothed like share of the item in train",
    "user_item_mean": "smoothed like shares of item and user in train",
    TRUTH: "the probabilities that the data were generated from: nothing can do better, but for luck",
    CEILING: "the labels themselves: highest value that the metric can take",
}


def kind(system: str) -> Kind:
    """Whether a name in metrics.json is a floor, a ceiling or a system."""
    if system in FLOORS:
        return "floor"
    return "ceiling" if system in (TRUTH, CEILING) else "system"


def ordered(metrics: Metrics) -> list[str]:
    """Names in the order of the tables: floors, systems, ceilings; within a kind as they came."""
    rank = {"floor": 0, "system": 1, "ceiling": 2}
    return sorted((name for name in metrics if name != REASONS), key=lambda name: rank[kind(name)])


def winners(metrics: Metrics, part: str) -> dict[str, str]:
    """The best system of a slice by metric, where it is outside the intervals, floors included.

    The best is named only when its value lies above every other system's and floor's interval, and its own
    interval above every other's value; ceilings do not compete, and a floor is never named.
    """
    found: dict[str, str] = {}
    rivals = {name: metrics[name].get(part, {}) for name in ordered(metrics) if kind(name) != "ceiling"}
    for metric in METRICS:
        known = {name: each for name, each in rivals.items() if each.get(metric) is not None}
        if not known:
            continue
        best = max(known, key=lambda name: known[name][metric])
        value, low = known[best][metric], known[best].get(f"{metric}_low")
        others = [each for name, each in known.items() if name != best]
        if kind(best) == "system" and all(
            value > _bound(each, metric) and low is not None and low > each[metric] for each in others
        ):
            found[metric] = best
    return found


def _bound(entry: Mapping[str, Any], metric: str) -> float:
    high = entry.get(f"{metric}_high")
    return float(entry[metric] if high is None else high)

"""Who is ahead, in words: by rule, from paired differences."""

from __future__ import annotations

from collections.abc import Sequence

from thinkrec.reports.kinds import MEANING, PROTOCOL_MEANING, kind
from thinkrec.reports.results import Leader, Measured, Results
from thinkrec.reports.tables import population

METRICS = ("uauc", "auc")
"""The metrics of the page's first paragraph and picture."""

SHOWN = 4
"""Systems behind the first that are named; more are counted."""


def listed(names: Sequence[str]) -> str:
    """Join names: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def even_with(leader: Leader) -> list[str]:
    """Name the systems and floors that a leader is not ahead of: the paired interval is not above 0."""
    return [
        name
        for name, each in leader.others.items()
        if kind(name) != "ceiling" and each["difference"] is not None and not (each["low"] or 0) > 0
    ]


def title(found: Measured) -> str:
    """Say in a few words who is ahead in UAUC, or that nobody is."""
    best = found.best.get("test", {}).get(METRICS[0])
    return f"{best} is ahead in UAUC" if best else "nobody is ahead of all others in UAUC"


def verdict(found: Measured, metric: str) -> str:
    """Say which system has the highest value of a metric on test, of whom it is ahead and of whom not."""
    leader, name = found.leaders.get(metric), metric.upper()
    if leader is None:
        return f"{name} on test is defined for no system."
    entry = found.pooled[leader.system]["test"]
    spread = ""
    if entry[f"{metric}_low"] is not None:
        spread = f" [{entry[f'{metric}_low']:.3f}, {entry[f'{metric}_high']:.3f}]"
    who = listed([leader.system, *leader.tied])
    shown = f"{who} {'have' if leader.tied else 'has'} the highest {name}, {entry[metric]:.4f}{spread}"
    even = [each for each in even_with(leader) if each not in leader.tied]
    behind = [
        each
        for each, of in leader.others.items()
        if kind(each) != "ceiling" and of["difference"] is not None and each not in leader.tied
    ]
    passed = [each for each in behind if each not in even]
    if not behind:
        return f"{shown}; there is nothing to compare it with."
    if not even and not leader.tied:
        return f"{shown}, and is ahead of all other systems and floors."
    first = f"{shown}. {leader.system if leader.tied else 'It'} is ahead of"
    if not even:
        return f"{first} all others and every floor."
    return f"{first} {_rest(passed, behind)}, not of {_named(even)}."


def _named(names: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    shown, more = list(names[:SHOWN]), len(names) - SHOWN
    return listed([*shown, f"{more} more"] if more > 0 else shown)


def _rest(passed: Sequence[str], others: Sequence[str]) -> str:
    """Name those that a leader is ahead of: by number where they are many, none where there are none."""
    systems = [each for each in passed if kind(each) == "system"]
    floors = [each for each in passed if kind(each) == "floor"]
    if floors and len(floors) == sum(kind(each) == "floor" for each in others):
        floors = ["every floor"]
    if len(systems) > SHOWN:
        systems = [f"the other {len(systems)} systems"]
    return listed([*systems, *floors]) if passed else "none"


def conditions(results: Results) -> str:
    """Say under which protocol, on what population and how the headline was measured."""
    found = results.by_protocol[results.headline]
    return (
        f"Protocol {results.headline}: {PROTOCOL_MEANING[results.headline]}. "
        f"On {population(found.metrics, 'test')}. "
        f"Ahead: the 95 % interval of the paired difference, by bootstrap over users ({results.draws} draws, "
        f"seed {results.seed}), is above 0. Of a system trained with several seeds the value is the mean, "
        "and each draw takes one of its trainings. If two systems are equal, one interval in twenty excludes "
        "0 by chance."
    )


def floor_notes(found: Measured) -> list[str]:
    """Say what names mean, and how floors were smoothed."""
    return [f"{name}: {MEANING[name]}." for name in found.metrics if name in MEANING] + [
        f"{floor}: smoothed by {' and '.join(map(str, weights))} rows at the global like share, chosen by "
        "AUC on valid."
        for floor, weights in found.smoothing.items()
    ]

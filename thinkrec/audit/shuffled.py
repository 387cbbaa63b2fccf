"""The shuffled control: scores and UAUC with the labels of test permuted within each user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from thinkrec.audit.check import Check, judged, skipped
from thinkrec.audit.same import differing, first_few
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.metrics.bootstrap import MIN_USERS
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import REASONS, SHUFFLED
from thinkrec.systems.control import Control, cheap_controls, shuffled_control
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System

_SLACK = 1e-9  # of sums in another order
Row = dict[str, Any]


def controls(
    project: Project, systems: Mapping[str, System], draws: int, step: Callable[[str], None]
) -> tuple[list[Check], list[Row]]:
    """Measure the control of floors and of the given systems, under each protocol that evaluate scores.

    Args:
        project: of the data set.
        systems: by name, besides the floors.
        draws: number of permutations.
        step: called with the name of what comes next.

    Returns:
        A check per system and protocol, and the table: system, protocol, uauc, uauc_low, uauc_high, draws,
        users, rows, moved.
    """
    floors = {name: project.system(name) for name, entry in SYSTEMS.items() if entry.kind == "floor"}
    checks, rows = [], []
    for name, system in {**floors, **systems}.items():
        step(f"shuffled labels of {name}")
        for protocol in project.params.evaluate.protocols:
            found = shuffled_control(system, project.data, protocol, project.params.seed, draws)
            checks.append(check_control(name, protocol, found))
            counts = {"users": len(found.by_user), "rows": found.rows, "moved": found.moved}
            rows.append({"system": name, "protocol": protocol, **found.entry(), **counts})
    return checks, rows


def check_control(name: str, protocol: Protocol, found: Control) -> Check:
    """Judge a control: where no label of test may be read, none is, and UAUC is .5.

    .5 has to lie within a 99.9 % interval: of twenty sound systems one would miss a 95 % interval. Rolling
    histories hold test's labels, so that nothing can fail there: it is reported what the protocol gives away.
    """
    figures = {**found.entry(), "moved": found.moved}
    claim = f"{name}: no label of test is read, so that UAUC is .5 ({protocol})"
    if protocol == "rolling":
        claim = f"{name}: what UAUC is worth without information ({protocol})"
    if found.uauc is None:
        return skipped("shuffled", claim, "no user of test has rows of both classes")
    said = f"UAUC {found.uauc:.3f}{_brackets(found.interval)} over {found.draws} draws"
    if protocol == "rolling":
        return judged("shuffled", claim, [], said, **figures)
    faults = []
    if found.moved:
        faults.append(
            f"{found.moved:,} of {found.rows:,} scores change when the labels of test are turned round: the "
            "system reads labels of the split that it is scored on"
        )
    wide = found.wide()
    if wide and not wide[0] - _SLACK <= 0.5 <= wide[1] + _SLACK:
        faults.append(f"{said}: .5 lies outside the 99.9 % interval{_brackets(wide)}")
    why = "" if wide else f"; no interval, with fewer than {MIN_USERS} users of both classes"
    return judged("shuffled", claim, faults, f"{found.rows:,} scores stay the same; {said}{why}", **figures)


def _brackets(interval: tuple[float, float] | None) -> str:
    return f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""


def stored_controls(layout: Layout) -> dict[Protocol, dict[str, Row]]:
    """Read the controls in metrics.json, by protocol and system; empty without the file."""
    metrics = read_json(layout.metrics) if layout.metrics.exists() else {}
    return {
        protocol: {name: entry[SHUFFLED] for name, entry in each.items() if SHUFFLED in entry}
        for protocol, each in metrics.items()
        if protocol != REASONS
    }


def check_stored(project: Project, systems: Mapping[str, System]) -> Check:
    """Compare the controls in metrics.json with those measured again, of floors, encoders and gbdt."""
    layout, claim = project.layout, "metrics.json: controls, with labels permuted within users"
    stored = stored_controls(layout)
    scored = [name for name in systems if any(name in each for each in stored.values())]
    found = cheap_controls(project, scored, stored)
    gone = sorted(
        {name for each in stored.values() for name in each} - {*scored, *FLOORS, MINUS_RUNNING_MEAN}
    )
    for each in stored.values():
        for name in gone:
            each.pop(name, None)
    wrong = differing(stored, found)
    faults = [f"metrics.json disagrees about {first_few(wrong)}"] if wrong else []
    again = "run `thinkrec evaluate` again"
    rest = f", but for {', '.join(gone)}, whose files are not there" if gone else ""
    return judged("metrics", claim, faults and [*faults, again], f"measured again: the same{rest}")

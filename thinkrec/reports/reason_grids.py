"""Metrics of reasons as tables of texts: a row a metric, a column a system, floor or ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkrec.metrics.reasons.names import BESIDE, MEANING
from thinkrec.metrics.reasons.summary import SPLITS
from thinkrec.reports.grids import markdown
from thinkrec.reports.tables import Grid, number

Measured = Mapping[str, Mapping[str, Mapping[str, Any]]]
SPLIT_NOTE = (
    "Hinted / unhinted: rows whose reference the teacher wrote after it was told the label, and the others."
)


def _names(measured: Measured) -> list[str]:
    found = {name for each in measured.values() for name in each}
    return [*(name for name in MEANING if name in found), *sorted(found - MEANING.keys())]


def _cell(score: Mapping[str, Any]) -> str:
    value, low, high = (score.get(key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return number(value)
    return f"{value:.4f} [{low:.3f}, {high:.3f}]"


def reason_grid(measured: Measured) -> Grid:
    """All metrics with their intervals, on all rows."""
    rows = [[name, *(_cell(each.get(name, {})) for each in measured.values())] for name in _names(measured)]
    return ["metric", *measured], rows


def split_grid(measured: Measured) -> Grid:
    """Each metric on rows with hinted and with unhinted references; no rows where nothing is split."""

    def cell(score: Mapping[str, Any]) -> str:
        values = [score.get(part, {}).get("value") for part in SPLITS]
        return " / ".join("-" if value is None else f"{value:.3f}" for value in values)

    split = [
        name
        for name in _names(measured)
        if any(SPLITS.keys() & each.get(name, {}) for each in measured.values())
    ]
    return ["metric", *measured], [
        [name, *(cell(each.get(name, {})) for each in measured.values())] for name in split
    ]


def reason_notes(measured: Measured) -> list[str]:
    """On what the figures rest, what is absent and why, what stands beside the systems, what metrics mean."""
    notes = []
    whole = [score for each in measured.values() for score in each.values() if score.get("rows")]
    if whole:
        most = max(whole, key=lambda score: int(score["rows"]))
        notes.append(
            f"{most['rows']:,} test rows of {most['users']:,} users, fewer where a metric is not defined."
        )
    reasons: dict[str, list[str]] = {}
    for system, each in measured.items():
        for name, score in each.items():
            if score.get("value") is None and "rows" not in score:
                reasons.setdefault(f"{name}: none ({score.get('reason')})", []).append(system)
    notes += [
        f"{said}." if len(systems) == len(measured) else f"{', '.join(systems)}, {said}."
        for said, systems in reasons.items()
    ]
    notes += [f"{name}: {text}." for name, text in BESIDE.items() if name in measured]
    return notes + [f"{name}: {MEANING[name]}." for name in _names(measured) if name in MEANING]


def reason_markdown(measured: Measured) -> str:
    """The tables and notes in Markdown, under their heading; "" without any reason."""
    if not measured:
        return ""
    parts = ["## Reasons", markdown(reason_grid(measured))]
    if (split := split_grid(measured))[1]:
        parts += [SPLIT_NOTE, markdown(split)]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in reason_notes(measured))]) + "\n\n"

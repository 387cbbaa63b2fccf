"""Metrics as tables for terminals and Markdown."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinkrec.metrics.ranking import METRICS
from thinkrec.reports.kinds import Metrics, kind, ordered, winners

NOTE = "[low, high]: 95 % interval by bootstrap over users. *: best, outside the intervals of all others."


def number(value: float | None) -> str:
    """A metric to four digits, a dash where it is undefined."""
    return "-" if value is None else f"{value:.4f}"


def cell(entry: Mapping[str, Any], metric: str) -> str:
    """A value with its interval, or a dash."""
    value, low, high = (entry.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return number(value)
    return f"{value:.4f} [{low:.3f}, {high:.3f}]"


def population(metrics: Metrics, part: str) -> str:
    """On which rows and users the numbers of a slice rest."""
    entries = (metrics[name].get(part, {}) for name in ordered(metrics))
    entry = max(entries, key=lambda each: each.get("rows", 0), default={})
    if not entry.get("rows"):
        return f"{part}: no rows"
    return (
        f"{part}: AUC over {entry['rows']:,} rows ({entry['positives']:,} likes) of {entry['users']:,} users"
        f"; NDCG and MAP over {entry['users_ranked']:,} users with two rows or more, "
        f"UAUC over the {entry['users_uauc']:,} of them with both classes"
    )


def _label(system: str) -> str:
    return system if kind(system) == "system" else f"{system} ({kind(system)})"


def _rows(metrics: Metrics, part: str) -> list[list[str]]:
    best = winners(metrics, part)
    return [
        [
            _label(name),
            *(
                cell(metrics[name].get(part, {}), metric) + (" *" if best.get(metric) == name else "")
                for metric in METRICS
            ),
        ]
        for name in ordered(metrics)
    ]


def format_table(metrics: Metrics, part: str = "test") -> str:
    """The table of one slice for a terminal: a row a system, floors first, ceilings last."""
    table = Table("system", *METRICS, title=part, caption=population(metrics, part), title_justify="left")
    for first, *cells in _rows(metrics, part):
        table.add_row(Text(first), *(Text(each) for each in cells))
    out = io.StringIO()
    console = Console(file=out, width=130)
    console.print(table)
    console.print(Text(NOTE))
    return out.getvalue()


def markdown_table(metrics: Metrics, part: str = "test") -> str:
    """The same table in Markdown, its population below."""
    lines = ["| system | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|"]
    lines += [
        "| " + " | ".join(each.replace("|", "\\|") for each in row) + " |" for row in _rows(metrics, part)
    ]
    return "\n".join([*lines, "", population(metrics, part), "", NOTE.replace("*", "\\*"), ""])

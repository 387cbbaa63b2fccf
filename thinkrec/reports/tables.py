"""Tables of a slice's metrics for terminals and Markdown."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinkrec.metrics.ranking import METRICS
from thinkrec.reports.kinds import Metrics, Winners, kind, ordered

NOTE = (
    "[low, high]: 95 % interval by bootstrap over users. *: ahead of all others, the intervals of its paired "
    "differences to each of them are above 0."
)
Grid = tuple[list[str], list[list[str]]]
"""A table of texts: header, rows."""


def number(value: float | None) -> str:
    """Format a metric with four digits, a dash if undefined."""
    return "-" if value is None else f"{value:.4f}"


def cell(entry: Mapping[str, Any], metric: str) -> str:
    """Format a value with its interval, or a dash."""
    value, low, high = (entry.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return number(value)
    return f"{value:.4f} [{low:.3f}, {high:.3f}]"


def population(metrics: Metrics, part: str) -> str:
    """Describe the rows and users behind a slice's metrics."""
    entries = (metrics[name].get(part, {}) for name in ordered(metrics))
    entry = max(entries, key=lambda each: each.get("rows", 0), default={})
    if not entry.get("rows"):
        return f"{part}: no rows"
    return (
        f"{part}: {_metrics_over('users')} {entry['rows']:,} rows ({entry['positives']:,} likes) of "
        f"{entry['users']:,} users; "
        f"{_metrics_over('users_ranked')} {entry['users_ranked']:,} users with two rows or more, "
        f"{_metrics_over('users_uauc')} the {entry['users_uauc']:,} of them with both classes"
    )


def _metrics_over(users: str) -> str:
    """Name the metrics defined by these users."""
    names = [name.partition("@")[0].upper() for name, metric in METRICS.items() if metric.users == users]
    return f"{' and '.join(names)} over"


def label_of(system: str) -> str:
    """Format a name, marking floors and ceilings."""
    return system if kind(system) == "system" else f"{system} ({kind(system)})"


def mark(best: Winners, part: str, metric: str, name: str) -> str:
    """Return a star for the system that is ahead."""
    return " *" if best.get(part, {}).get(metric) == name else ""


def system_grid(metrics: Metrics, best: Winners, part: str) -> Grid:
    """Tabulate all metrics of all systems on a slice."""
    rows = [
        [
            label_of(name),
            *(cell(metrics[name].get(part, {}), each) + mark(best, part, each, name) for each in METRICS),
        ]
        for name in ordered(metrics)
    ]
    return ["system", *METRICS], rows


def format_table(metrics: Metrics, best: Winners, part: str = "test") -> str:
    """Format the table of a slice for a terminal: floors first, ceilings last."""
    header, rows = system_grid(metrics, best, part)
    table = Table(*header, title=part, caption=population(metrics, part), title_justify="left")
    for row in rows:
        table.add_row(*map(Text, row))
    out = io.StringIO()
    console = Console(file=out, width=130)
    console.print(table)
    console.print(Text(NOTE))
    return out.getvalue()

"""Audit results as tables for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_STYLES = {"passed": "green", "FAILED": "bold red", "not applicable": "yellow"}


def tables(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the tables of a result of `thinkrec.stages.audit.audit`."""
    yield _checks(report)
    if "ties" not in report:  # damaged artifacts are not audited
        return
    if report["left_out"]:
        yield _left_out(report["left_out"])
    yield _ties(report)
    if "shuffled" in report:
        yield _shuffled(report["shuffled"])


def _checks(report: Mapping[str, Any]) -> Table:
    table = Table(title=f"audit of {report['dataset']}", title_justify="left", show_lines=True)
    for name in ("artifact", "what should hold", "verdict", "what was found"):
        table.add_column(name)
    for check in report["checks"]:
        verdict = Text(check["verdict"], style=_STYLES[check["verdict"]])
        table.add_row(Text(check["artifact"]), Text(check["claim"]), verdict, Text(check["said"]))
    return table


def _left_out(entries: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="what no check looks at", title_justify="left", show_lines=True)
    for name in ("file", "checks that look at the rest", "what is left out, and why"):
        table.add_column(name)
    for each in entries:
        table.add_row(Text(each["path"]), Text(", ".join(each["checks"]) or "-"), Text(each["why"]))
    return table


def _ties(report: Mapping[str, Any]) -> Table:
    table = Table(title="rows of one moment, and what histories hold", title_justify="left")
    table.add_column("split")
    for name in ("rows", "tied (1)", "tied history (2)", "held-out history (3)"):
        table.add_column(name, justify="right")
    for split, counts in report["ties"].items():
        cells = [f"{counts['rows']:,}"]
        for key in ("tied", "tied_history", "held_out_history"):
            share = counts[f"{key}_share"]
            cells.append(f"{counts[key]:,}" + ("" if share is None else f" ({100 * share:.1f} %)"))
        table.add_row(split, *cells)
    table.caption = (
        "(1) the same user has another row of that moment; (2) such a row is in the rolling history, "
        "since the raw file has it first; (3) the rolling history shows a valid or test row with its label"
    )
    return table


def _shuffled(rows: Sequence[Mapping[str, Any]]) -> Table:
    draws, users = rows[0]["draws"], rows[0]["users"]
    title = f"labels of test permuted within users: {draws:,} draws, UAUC over {users:,} users"
    table = Table("system", "protocol", title=title, title_justify="left")
    for name in ("UAUC", "95 % interval", "moved (1)"):
        table.add_column(name, justify="right")
    for row in rows:
        uauc, low, high = (row[key] for key in ("uauc", "uauc_low", "uauc_high"))
        cells = (
            "-" if uauc is None else f"{uauc:.3f}",
            "-" if low is None else f"{low:.3f} to {high:.3f}",
            "-" if row["moved"] is None else f"{row['moved']:,} of {row['rows']:,}",
        )
        table.add_row(*map(Text, (row["system"], row["protocol"], *cells)))
    table.caption = (
        "nothing is left to know: what lies above or below .5 comes of the protocol, or, where no label may "
        "be read, of a leak; (1) scores that change when all labels of test are turned round"
    )
    return table

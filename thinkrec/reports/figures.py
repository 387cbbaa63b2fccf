"""Plots as inline SVG, deterministic byte for byte."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from thinkrec.reports.kinds import kind

Rows = Sequence[dict[str, str]]
_COLUMNS = 4
# Stand-ins while drawing; the SVG says CSS variables of the page instead, so that it follows light and dark.
_INK, _FAINT, _GRID = "#010203", "#010204", "#010205"
_LINES = ["#0201f0", "#0201f1", "#0201f2", "#0201f3", "#0201f4", "#0201f5"]
_VARIABLES = {
    _INK: "var(--ink, #1b1b1b)",
    _FAINT: "var(--muted, #5a5a5a)",
    _GRID: "var(--grid, #e4e4e4)",
    **{
        color: f"var(--line-{k}, {shown})"
        for k, (color, shown) in enumerate(
            zip(_LINES, ["#1f5fbf", "#c2410c", "#15803d", "#9333ea", "#b8860b", "#0e7490"], strict=True), 1
        )
    },
}
_STYLE: Any = {
    # A dollar sign in a name is not a formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "thinkrec",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _GRID,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(linestyle=["-", "--", "-."]) * cycler(color=_LINES),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), _INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), _FAINT),
    "legend.frameon": False,
}


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", out.getvalue(), flags=re.DOTALL)
    return re.sub("|".join(_VARIABLES), lambda found: _VARIABLES[found[0]], svg)


@contextmanager
def _axes(panels: int = 1, width: float = 5.4, height: float = 4.2) -> Iterator[tuple[Figure, list[Axes]]]:
    with matplotlib.rc_context(_STYLE):
        columns = min(panels, _COLUMNS)
        rows = -(-panels // columns)
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        yield figure, [figure.add_subplot(rows, columns, place + 1) for place in range(panels)]


def _names(rows: Rows, key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _legend_beside(axes: Axes) -> None:
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5)


def _line_style(name: str) -> dict[str, Any]:
    return {"color": _FAINT, "linestyle": ":"} if kind(name) == "floor" else {}


def _numbers(rows: Rows, key: str) -> list[float]:
    return [float(row[key]) for row in rows]


def roc_figure(rows: Rows) -> str | None:
    """Plot the ROC of each system (columns system, fpr, tpr), floors dotted; None without rows."""
    if not rows:
        return None
    with _axes() as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=_GRID, linewidth=0.8)
        for name in _names(rows, "system"):
            if name != "random":
                own = [row for row in rows if row["system"] == name]
                axes.plot(_numbers(own, "fpr"), _numbers(own, "tpr"), label=name, **_line_style(name))
        axes.set(xlabel="share of dislikes above", ylabel="share of likes above")
        _legend_beside(axes)
        return _svg(figure)


def calibration_figure(rows: Rows) -> str | None:
    """Plot observed against predicted like shares (columns system, predicted, observed), or None."""
    if not rows:
        return None
    with _axes() as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=_GRID, linewidth=0.8)
        for name in _names(rows, "system"):
            own = [row for row in rows if row["system"] == name]
            axes.plot(
                _numbers(own, "predicted"), _numbers(own, "observed"), marker="o", markersize=3, label=name
            )
        axes.set(xlabel="predicted probability of a like", ylabel="observed share of likes")
        _legend_beside(axes)
        return _svg(figure)


def _bound_lines(axes: Axes, bounds: Mapping[str, float], rows: int) -> None:
    """Draw floors and ceilings as labelled vertical lines; close ones share a label above the dots."""
    low, high = axes.get_xlim()
    groups: list[list[str]] = []
    for name in sorted(bounds, key=lambda name: bounds[name]):
        if groups and bounds[name] - bounds[groups[-1][0]] < 0.02 * (high - low):
            groups[-1].append(name)
        else:
            groups.append([name])
    for place, names in enumerate(groups):
        at = sum(bounds[name] for name in names) / len(names)
        level = rows + 0.2 + 0.8 * place
        ceiling = kind(names[0]) == "ceiling"
        axes.plot([at, at], [-0.6, level], color=_FAINT, linestyle="--" if ceiling else ":", linewidth=1.2)
        right = at > (low + high) / 2
        axes.text(
            at, level, f" {', '.join(names)} ", ha="right" if right else "left", va="center",
            fontsize=9, style="italic",
        )  # fmt: skip
    axes.set_ylim(-0.6, rows + 0.4 + 0.8 * len(groups))


def dots_figure(metrics: Mapping[str, Any], name: str, best: str, even: Sequence[str]) -> str | None:
    """Plot systems as points with 95 % intervals, the best on top, floors and ceilings as vertical lines.

    Args:
        metrics: system -> slice -> numbers; of test.
        name: of the metric.
        best: the system with the highest value: filled.
        even: systems that it is not ahead of: filled, in another colour. The others are hollow.

    Returns:
        SVG, or None where no system has the metric.
    """
    value = {
        each: found for each in metrics if (found := metrics[each].get("test", {}).get(name)) is not None
    }
    systems = (each for each in value if kind(each) == "system")
    order = sorted(systems, key=lambda each: (value[each], each == best))
    if not order:
        return None
    # 1 is every metric's ceiling: a line there says nothing and costs half the width.
    bounds = {each: found for each, found in value.items() if kind(each) != "system" and found < 1}
    with _axes(width=5.6, height=1.1 + 0.23 * (len(order) + len(bounds) / 2)) as (figure, (axes,)):
        for row, each in enumerate(order):
            entry = metrics[each]["test"]
            color = _LINES[0] if each == best else _LINES[1] if each in even else _FAINT
            filled = each == best or each in even
            if entry[f"{name}_low"] is not None:
                axes.plot([entry[f"{name}_low"], entry[f"{name}_high"]], [row, row], "-", color=color, lw=1.6)
            axes.plot(
                [value[each]], [row], "o", color=color, markersize=6, markeredgewidth=1.4,
                markerfacecolor=color if filled else "none",
            )  # fmt: skip
        ends = [metrics[each]["test"][f"{name}{end}"] for each in order for end in ("", "_low", "_high")]
        ends = [each for each in ends if each is not None] + [*bounds.values()]
        margin = 0.04 * (max(ends) - min(ends) or 1)
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        _bound_lines(axes, bounds, len(order))
        axes.set_yticks(range(len(order)), order)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=name.upper())
        return _svg(figure)


def map_figure(points: np.ndarray, group: np.ndarray) -> str | None:
    """Plot users [n, 2] as points coloured by group [n]; None without users."""
    if not len(points):
        return None
    with _axes(width=5.4, height=4.6) as (figure, (axes,)):
        for k, (number, style) in enumerate(zip(np.unique(group), _STYLE["axes.prop_cycle"](), strict=False)):
            own = points[group == number].round(3)
            name = f"group {number} ({len(own):,})" if number else f"no group ({len(own):,})"
            marker = "osv^D"[k // len(_LINES) % 5]
            axes.plot(
                own[:, 0], own[:, 1], marker, color=style["color"], markersize=3, linestyle="", label=name,
                alpha=0.7, markeredgewidth=0,
            )  # fmt: skip
        axes.set(xlabel="first component", ylabel="second component")
        _legend_beside(axes)
        return _svg(figure)


def gate_figure(rows: Rows, configured: Mapping[str, float]) -> str | None:
    """Plot shares of users by the gate's decision, one panel a parameter, a line at what is configured.

    Args:
        rows: of gate.csv: columns parameter, value, kind, share.
        configured: by parameter.

    Returns:
        SVG, or None without rows.
    """
    if not rows:
        return None
    names = _names(rows, "parameter")
    with _axes(len(names), width=3.6, height=2.8) as (figure, panels):
        for axes, name in zip(panels, names, strict=True):
            own = [row for row in rows if row["parameter"] == name]
            for kind_ in _names(rows, "kind"):
                line = [row for row in own if row["kind"] == kind_]
                axes.plot(
                    _numbers(line, "value"), _numbers(line, "share"), marker="o", markersize=3, label=kind_
                )
            if name in configured:
                axes.axvline(configured[name], color=_FAINT, linestyle=":")
            axes.set(title=name, ylim=(-0.03, 1.03), ylabel="share of users" if name == names[0] else "")
            if name == "temperature":
                axes.set_xscale("log")
                ticks = sorted(set(_numbers(own, "value")))
                ticks = ticks[:: -(-len(ticks) // 5)]
                axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
                axes.xaxis.set_minor_locator(NullLocator())
        panels[0].legend(fontsize=8)
        return _svg(figure)


def interval_figure(metrics: Mapping[str, Any], name: str) -> str | None:
    """Plot a metric of each system with its interval (NAME and NAME_interval), the best on top."""
    if not metrics:
        return None
    order = sorted(metrics, key=lambda system: metrics[system][name])
    value = [metrics[system][name] for system in order]
    low, high = zip(*(metrics[system][f"{name}_interval"] for system in order), strict=True)
    spread = [
        [v - b for v, b in zip(value, low, strict=True)],
        [t - v for v, t in zip(value, high, strict=True)],
    ]
    with _axes(width=7, height=0.8 + 0.26 * len(order)) as (figure, (axes,)):
        axes.errorbar(value, range(len(order)), xerr=spread, fmt="o", markersize=4, capsize=2)
        axes.set_yticks(range(len(order)), order)
        axes.set(xlabel=name)
        return _svg(figure)


def _finite(row: dict[str, str]) -> bool:
    try:
        return abs(float(row["value"])) < float("inf")
    except ValueError:
        return False


def curve_figure(rows: Rows) -> str | None:
    """Plot training curves: one panel per series, one line per model.

    Args:
        rows: columns series, value, step or epoch, and model if a stage trains several.

    Returns:
        SVG, or None if there is nothing to draw.
    """
    rows = [row for row in rows if row.get("series") and row.get("value") and _finite(row)]
    if not rows:
        return None
    along = "step" if "step" in rows[0] else "epoch"
    series = _names(rows, "series")
    with _axes(len(series), width=3.6, height=2.8) as (figure, panels):
        for axes, name in zip(panels, series, strict=True):
            own = [row for row in rows if row["series"] == name]
            for model in dict.fromkeys(row.get("model", "") for row in own):
                line = [row for row in own if row.get("model", "") == model]
                x, y = _numbers(line, along), _numbers(line, "value")
                axes.plot(x, y, marker="o" if len(line) < 15 else "", markersize=3, label=model)
            axes.set(xlabel=along, title=name)
            if own[0].get("model"):
                axes.legend(fontsize=8)
        return _svg(figure)

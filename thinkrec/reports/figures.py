"""Plots as inline SVG, deterministic byte for byte."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from thinkrec.reports.kinds import kind

Rows = Sequence[dict[str, str]]
_COLUMNS = 4
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
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


@contextmanager
def _axes(panels: int = 1, width: float = 5.4, height: float = 4.2) -> Iterator[tuple[Figure, list[Axes]]]:
    with matplotlib.rc_context(_STYLE):
        columns = min(panels, _COLUMNS)
        rows = -(-panels // columns)
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        yield figure, [figure.add_subplot(rows, columns, place + 1) for place in range(panels)]


def _names(rows: Rows, key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _line_style(name: str) -> dict[str, Any]:
    return {"color": "#8a8a8a", "linestyle": ":"} if kind(name) == "floor" else {}


def _numbers(rows: Rows, key: str) -> list[float]:
    return [float(row[key]) for row in rows]


def roc_figure(rows: Rows) -> str | None:
    """Plot the ROC of each system (columns system, fpr, tpr), floors dotted; None without rows."""
    if not rows:
        return None
    with _axes() as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color="#c0c0c0", linewidth=0.8)
        for name in _names(rows, "system"):
            if name != "random":
                own = [row for row in rows if row["system"] == name]
                axes.plot(_numbers(own, "fpr"), _numbers(own, "tpr"), label=name, **_line_style(name))
        axes.set(xlabel="share of dislikes above", ylabel="share of likes above", aspect="equal")
        axes.legend(fontsize=8)
        return _svg(figure)


def calibration_figure(rows: Rows) -> str | None:
    """Plot observed against predicted like shares (columns system, predicted, observed), or None."""
    if not rows:
        return None
    with _axes() as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color="#c0c0c0", linewidth=0.8)
        for name in _names(rows, "system"):
            own = [row for row in rows if row["system"] == name]
            axes.plot(
                _numbers(own, "predicted"), _numbers(own, "observed"), marker="o", markersize=3, label=name
            )
        axes.set(xlabel="predicted probability of a like", ylabel="observed share of likes", aspect="equal")
        axes.legend(fontsize=8)
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

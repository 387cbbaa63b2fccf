"""The report: a self-contained HTML page, and its main tables in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from thinkrec.files import latest, whole
from thinkrec.layout import Layout
from thinkrec.metrics.breakdown import MEANING as SLICE_MEANING
from thinkrec.metrics.predictions import SLICES
from thinkrec.metrics.ranking import METRICS
from thinkrec.pipeline import STAGES
from thinkrec.prompts.templates import template
from thinkrec.reports.figures import calibration_figure, curve_figure, roc_figure
from thinkrec.reports.grids import (
    SEED_NOTE,
    SLICE_METRICS,
    SLICE_NOTE,
    markdown_tables,
    seed_grid,
    slice_grid,
)
from thinkrec.reports.kinds import MEANING, kind, ordered
from thinkrec.reports.plots import read_rows, readable
from thinkrec.reports.reason_grids import SPLIT_NOTE, reason_grid, reason_markdown, reason_notes, split_grid
from thinkrec.reports.results import Results
from thinkrec.reports.tables import number, population
from thinkrec.runs import Record, Rows, read_curve, read_record
from thinkrec.variants import DEFAULT, VARIANTS

_STAGES = [name for name, stage in STAGES.items() if stage.over == "datasets" and name != "evaluate"]


@dataclass(frozen=True)
class SampleReason:
    """A generated reason on the page; texts are escaped.

    Args:
        system: the system that wrote it.
        user_id: of the row.
        title: of the target item.
        label: 1 liked, 0 not.
        score: the system's score, a logit.
        reason: the generated text.
        rationale: the teacher's text for the same row, or None.
    """

    system: str
    user_id: int
    title: str
    label: int
    score: float
    reason: str
    rationale: str | None = None


@dataclass(frozen=True)
class Runs:
    """Run records and curves of the stages before evaluate, as far as they exist.

    Args:
        records: run records, in the order of the stages.
        curves: training curves by stage.
        damaged: error messages of the unreadable ones.
    """

    records: list[Record]
    curves: dict[str, Rows]
    damaged: list[str]


def _name(run: tuple[Layout, str]) -> str:
    return run[0].own(run[1])


def runs_of(layout: Layout, variants: Collection[str] = (DEFAULT,)) -> Runs:
    """Read run records and curves, of these variants; damaged ones are logged and skipped."""
    damaged: list[str] = []
    trained = [name for name in VARIANTS if name in variants]
    runs = [
        (layout.of(variant), stage)
        for stage in _STAGES
        for variant in (trained if STAGES[stage].by_variant else [layout.variant])
    ]
    records = [readable(damaged, read_record, *run) for run in runs]
    curves = {
        place.own(stage): readable(damaged, read_curve, place, stage)
        for place, stage in sorted(runs, key=_name)
    }
    return Runs(
        [each for each in records if each], {stage: rows for stage, rows in curves.items() if rows}, damaged
    )


def _figures(layout: Layout, metrics: Mapping[str, Any], runs: Runs) -> list[tuple[str, Markup]]:
    """Draw (caption, SVG) of all plots with data. matplotlib escapes texts in the SVG."""
    rows = max((metrics[name]["test"]["rows"] for name in ordered(metrics)), default=0)
    figures = [
        (f"ROC on {rows:,} test rows. Dotted: floors.", roc_figure(read_rows(latest(layout.plot("roc"))))),
        (
            f"Calibration on {rows:,} test rows: ten bins of equal count; the score's sigmoid is predicted.",
            calibration_figure(read_rows(latest(layout.plot("calibration")))),
        ),
        *(
            (f"Training curves of the stage {name}.", curve_figure(rows))
            for name, rows in runs.curves.items()
        ),
    ]
    return [(caption, Markup(svg)) for caption, svg in figures if svg is not None]


def _missing(metrics: Mapping[str, Any], part: str) -> list[str]:
    """List `system: no metrics: reason` for the undefined values of a slice."""
    lines: dict[tuple[str, str], list[str]] = {}
    for name in ordered(metrics):
        for metric in METRICS:
            reason = metrics[name].get(part, {}).get(f"{metric}_reason")
            if reason:
                lines.setdefault((name, reason), []).append(metric)
    return [f"{name}: no {', '.join(names)}: {reason}" for (name, reason), names in lines.items()]


def render_page(
    layout: Layout, results: Results, facts: Mapping[str, Any], reasons: Sequence[SampleReason], runs: Runs
) -> str:
    """Render the page as HTML; see `write_page`."""
    found = results.by_protocol[results.headline]
    metrics = found.metrics
    return template("reports/page.html.j2").render(
        number=number,
        dataset=layout.dataset,
        results=results,
        metrics=metrics,
        systems=ordered(metrics),
        names=METRICS,
        slices=SLICES,
        kind=kind,
        meaning=MEANING,
        best=found.best,
        seeds=seed_grid(metrics),
        grids=[slice_grid(metrics, found.slices, found.best, metric) for metric in SLICE_METRICS],
        slice_meaning=SLICE_MEANING,
        seed_note=SEED_NOTE,
        slice_note=SLICE_NOTE,
        populations={part: population(metrics, part) for part in SLICES},
        missing={part: _missing(metrics, part) for part in SLICES},
        text_metrics=(told := results.reasons),
        reason_table=reason_grid(told),
        split_table=split_grid(told),
        split_note=SPLIT_NOTE,
        reason_notes=reason_notes(told),
        facts={"protocol": results.headline, **facts},
        differences=found.differences,
        smoothing=found.smoothing,
        reasons=reasons,
        runs=runs,
        figures=_figures(layout, metrics, runs),
    )


def write_page(
    layout: Layout,
    results: Results,
    facts: Mapping[str, Any],
    reasons: Sequence[SampleReason] = (),
    runs: Runs | None = None,
) -> None:
    """Write report.html and report.md.

    Plots are read from their files; missing parts are left out.

    Args:
        layout: paths.
        results: from `write_results`.
        facts: about the data set: name -> number or text.
        reasons: some generated reasons to show.
        runs: from `runs_of`; read if None.
    """
    page = render_page(layout, results, facts, reasons, runs or runs_of(layout))
    with whole(layout.page) as beside:
        beside.write_text(page, encoding="utf-8")
    seed = f"{results.draws} draws, seed {results.seed}."
    found = results.by_protocol[results.headline]
    tables = markdown_tables(found.metrics, found.slices, found.best)
    told = reason_markdown(results.reasons)
    text = f"# {layout.dataset}\n\n{tables}\n{told}{seed}\n"
    with whole(layout.page_text) as beside:
        beside.write_text(text, encoding="utf-8")

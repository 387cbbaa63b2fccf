"""The report: a self-contained HTML page, and its main tables in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from thinkrec.files import latest, read_json, whole
from thinkrec.layout import Layout
from thinkrec.metrics.breakdown import MEANING as SLICE_MEANING
from thinkrec.metrics.predictions import SLICES
from thinkrec.metrics.ranking import METRICS
from thinkrec.pipeline import STAGES
from thinkrec.prompts.templates import template
from thinkrec.protocols import Protocol
from thinkrec.reports.figures import (
    calibration_figure,
    curve_figure,
    dots_figure,
    gate_figure,
    map_figure,
    roc_figure,
)
from thinkrec.reports.grids import (
    ONE_TRAINING,
    SEED_NOTE,
    SLICE_METRICS,
    SLICE_NOTE,
    differences_grid,
    gate_grid,
    headline_grid,
    markdown,
    markdown_tables,
    seed_grid,
    shuffled_grid,
    slice_grid,
)
from thinkrec.reports.kinds import PROTOCOL_MEANING, ordered
from thinkrec.reports.plots import read_rows, readable
from thinkrec.reports.reason_grids import SPLIT_NOTE, reason_grid, reason_markdown, reason_notes, split_grid
from thinkrec.reports.results import Measured, Results
from thinkrec.reports.tables import Grid, population, system_grid
from thinkrec.reports.users import user_map
from thinkrec.reports.verdict import METRICS as FIRST
from thinkrec.reports.verdict import conditions, even_with, floor_notes, title, verdict
from thinkrec.runs import Record, Rows, read_curve, read_record
from thinkrec.variants import DEFAULT, VARIANTS

_STAGES = [name for name, stage in STAGES.items() if stage.over == "datasets" and name != "evaluate"]

DECISIONS = ("averaged", "concentrated", "mixed", "unknown")


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
class Case(SampleReason):
    """A reason with what it rests on.

    Args:
        history: (title, liked) of the prompt, oldest first.
        decision: the gate's for the user, or None.
        hinted: whether the teacher was told the label; None if not known.
    """

    history: Sequence[tuple[str, bool]] = ()
    decision: str | None = None
    hinted: bool | None = None


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


def _drawn(figures: Sequence[tuple[str, str | None]]) -> list[tuple[str, Markup]]:
    """Keep (caption, SVG) of figures with data. matplotlib escapes texts in the SVG."""
    return [(caption, Markup(svg)) for caption, svg in figures if svg is not None]


def _figures(layout: Layout, metrics: Mapping[str, Any], runs: Runs) -> list[tuple[str, Markup]]:
    rows = max((metrics[name]["test"]["rows"] for name in ordered(metrics)), default=0)
    curves = [
        (f"Training curves of the stage {name}.", curve_figure(rows)) for name, rows in runs.curves.items()
    ]
    calibration = calibration_figure(read_rows(latest(layout.plot("calibration"))))
    roc = roc_figure(read_rows(latest(layout.plot("roc"))))
    return _drawn(
        [
            *curves,
            (
                f"Calibration on {rows:,} test rows: ten bins of equal count of the score's sigmoid.",
                calibration,
            ),
            (f"ROC on {rows:,} test rows. Dotted: floors.", roc),
        ]
    )


def _groups(layout: Layout, said: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    points, group = user_map(layout)
    return _drawn(
        [
            (
                f"A map of {len(points):,} users: two principal components of their collaborative vectors.",
                map_figure(points, group),
            ),
            (
                "What the gate decides for users with valid rows, over its parameters; dotted: configured.",
                gate_figure(read_rows(latest(layout.plot("gate"))), said.get("configured", {})),
            ),
        ]
    )


def _picture(found: Measured) -> list[Markup]:
    drawn = [
        dots_figure(found.pooled, metric, leader.system, even_with(leader))
        for metric in FIRST
        if (leader := found.leaders.get(metric)) is not None
    ]
    return [Markup(svg) for svg in drawn if svg is not None]


def _missing(metrics: Mapping[str, Any], part: str) -> list[str]:
    """List `system: no metrics: reason` for the undefined values of a slice."""
    lines: dict[tuple[str, str], list[str]] = {}
    for name in ordered(metrics):
        for metric in METRICS:
            reason = metrics[name].get(part, {}).get(f"{metric}_reason")
            if reason:
                lines.setdefault((name, reason), []).append(metric)
    return [f"{name}: no {', '.join(names)}: {reason}" for (name, reason), names in lines.items()]


def _with_ties(metrics: Mapping[str, Any], table: Grid, part: str) -> Grid:
    ties = [metrics[name].get(part, {}) for name in ordered(metrics)]
    rows = [
        [*row, f"{each['tied_rows']:,}" if each.get("rows") else "-"]
        for row, each in zip(table[1], ties, strict=True)
    ]
    return [*table[0], "ties"], rows


def _protocol(name: Protocol, found: Measured) -> dict[str, Any]:
    """Tables of one protocol."""
    metrics = found.metrics
    return {
        "name": name,
        "meaning": PROTOCOL_MEANING[name],
        "test": system_grid(metrics, found.best, "test"),
        "parts": [
            {
                "name": part,
                "population": population(metrics, part),
                "table": _with_ties(metrics, system_grid(metrics, found.best, part), part),
                "missing": _missing(metrics, part),
            }
            for part in SLICES
        ],
        "slices": [slice_grid(metrics, found.slices, found.best, metric) for metric in SLICE_METRICS],
    }


def _cost(records: Sequence[Mapping[str, Any]]) -> Grid:
    """Tabulate run records; processor and threads where a record has them."""
    further = [key for key in ("processor", "threads") if any(key in each for each in records)]
    rows = [
        [
            each["stage"],
            f"{each['seconds']:,.1f}",
            f"{each['peak_memory_mb']:,.0f}",
            "-" if each["peak_gpu_memory_mb"] is None else f"{each['peak_gpu_memory_mb']:,.0f}",
            each["device"],
            *(str(each.get(key, "-")) for key in further),
            each["commit"],
            str(each["seed"]),
        ]
        for each in records
    ]
    return ["stage", "seconds", "memory, MB", "GPU memory, MB", "device", *further, "commit", "seed"], rows


def _decided(facts: Mapping[str, Any]) -> Grid:
    """Tabulate how many users the gate decided which way: the facts users_averaged, ..."""
    counts = {kind: facts[f"users_{kind}"] for kind in DECISIONS if f"users_{kind}" in facts}
    total = sum(counts.values()) or 1
    return ["decision", "users", "share"], [
        [kind, f"{count:,}", f"{count / total:.3f}"] for kind, count in counts.items()
    ]


def render_page(
    layout: Layout, results: Results, facts: Mapping[str, Any], reasons: Sequence[SampleReason], runs: Runs
) -> str:
    """Render the page as HTML; see `write_page`."""
    found = results.by_protocol[results.headline]
    metrics = found.metrics
    told = results.reasons
    gated = read_json(path) if (path := latest(layout.gate)).exists() else {}
    gate = {f"users_{kind}" for kind in DECISIONS}
    return template("reports/page.html.j2").render(
        dataset=layout.dataset,
        title=title(found),
        verdicts=[verdict(found, metric) for metric in FIRST],
        conditions=conditions(results),
        picture=_picture(found),
        headline=headline_grid(results.by_protocol),
        seeds=seed_grid(metrics),
        seed_note=SEED_NOTE,
        shuffled=shuffled_grid(results.by_protocol),
        protocols=[_protocol(name, each) for name, each in results.by_protocol.items()],
        facts={
            "protocols": ", ".join(results.by_protocol),
            **{name: fact for name, fact in facts.items() if name not in gate},
        },
        runs=runs,
        cost=_cost(runs.records),
        figures=_figures(layout, metrics, runs),
        decided=_decided(facts),
        groups=_groups(layout, gated),
        gated=gated,
        gate_table=gate_grid(gated),
        reasons=[each if isinstance(each, Case) else Case(**vars(each)) for each in reasons],
        text_metrics=told,
        reason_table=reason_grid(told),
        split_table=split_grid(told),
        split_note=SPLIT_NOTE,
        reason_notes=reason_notes(told),
        results=results,
        differences=differences_grid(found.differences.get("test", {}), metrics),
        slice_meaning=SLICE_MEANING,
        slice_note=SLICE_NOTE,
        meaning=floor_notes(found),
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
    first = results.by_protocol[results.headline]
    said = "\n\n".join([*(verdict(first, metric) for metric in FIRST), conditions(results)])
    tables = "\n".join(
        f"# Protocol {name}\n\n{ONE_TRAINING}\n\n{markdown_tables(found.metrics, found.slices, found.best)}"
        for name, found in results.by_protocol.items()
    )
    headline = markdown(headline_grid(results.by_protocol))
    seed = f"{results.draws} draws, seed {results.seed}."
    text = f"# {layout.dataset}\n\n{said}\n\n{headline}\n{tables}\n{reason_markdown(results.reasons)}{seed}\n"
    with whole(layout.page_text) as beside:
        beside.write_text(text, encoding="utf-8")

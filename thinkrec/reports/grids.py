"""Tables of slices and seeds, and all main tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thinkrec.metrics.breakdown import MEANING
from thinkrec.metrics.ranking import METRICS
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import SEEDS, Metrics, Winners, ordered
from thinkrec.reports.tables import NOTE, Grid, cell, label_of, mark, population, system_grid

if TYPE_CHECKING:
    from thinkrec.reports.results import Measured

SLICE_NOTE = "± half the width of the 95 % interval. *: ahead of all others, as above."
SEED_NOTE = "Mean ± standard deviation over trainings with different seeds, test rows."
ONE_TRAINING = (
    "One training of each system; where there are several, the table at the top has means over them."
)
SHUFFLED = "test/shuffled"
"""Key among a system's slices in metrics.json where its labels were shuffled within users."""
SLICE_METRICS = ("auc", "uauc")


def slice_grid(metrics: Metrics, slices: Metrics, best: Winners, metric: str) -> Grid:
    """Tabulate a metric by system and slice of test, with rows and users of each slice on top.

    Args:
        metrics: content of metrics.json, for test and test/warm.
        slices: content of slices.json.
        best: from `kinds.winners`.
        metric: auc or uauc; users are those who define it.
    """
    entries = {name: {**metrics[name], **slices.get(name, {})} for name in ordered(metrics)}
    parts = ["test", "test/warm", *next(iter(slices.values()), {})]
    populations = [max((each.get(part, {}) for each in entries.values()), key=_rows_of) for part in parts]
    rows = [
        [key, *(f"{each.get(name, 0):,}" for each in populations)]
        for key, name in (("rows", "rows"), ("users", METRICS[metric].users))
    ]
    for name, each in entries.items():
        cells = [_short(each.get(part, {}), metric) + mark(best, part, metric, name) for part in parts]
        rows.append([label_of(name), *cells])
    return [metric, "all", *(part.partition("/")[2] for part in parts[1:])], rows


def _rows_of(entry: Mapping[str, Any]) -> int:
    return int(entry.get("rows", 0))


def _short(entry: Mapping[str, Any], metric: str) -> str:
    """Format a value with half the width of its interval, or a dash."""
    value, low, high = (entry.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ± {(high - low) / 2:.3f}"


def seed_grid(metrics: Metrics) -> Grid:
    """Tabulate mean ± standard deviation over training seeds of the systems with several."""
    seeded = {name: metrics[name][SEEDS] for name in ordered(metrics) if SEEDS in metrics[name]}
    rows = [
        [name, str(each["seeds"]), *(_spread(each, metric) for metric in METRICS)]
        for name, each in seeded.items()
    ]
    return ["system", "seeds", *METRICS], rows


def _spread(entry: Mapping[str, Any], metric: str) -> str:
    mean, sd = entry[f"{metric}_mean"], entry[f"{metric}_sd"]
    return "-" if mean is None else f"{mean:.4f} ± {sd:.4f}"


def headline_grid(by_protocol: Mapping[Protocol, Measured]) -> Grid:
    """Tabulate the headline protocol's metrics, UAUC first and AUC last, then AUC of every other protocol.

    Systems stand by UAUC, the highest first. Values are means over a system's trainings.
    """
    (headline, found), *others = by_protocol.items()
    columns = [(metric, headline, found) for metric in METRICS if metric != "auc"]
    columns += [("auc", protocol, each) for protocol, each in by_protocol.items()]
    value = {name: each.get("test", {}).get("uauc") for name, each in found.pooled.items()}
    known = sorted((name for name in value if value[name] is not None), key=lambda name: -value[name])
    every = (name for each in by_protocol.values() for name in each.metrics)
    names = ordered({name: {} for name in (*known, *every)})
    rows = [
        [
            label_of(name),
            *(
                cell(each.pooled.get(name, {}).get("test", {}), metric)
                + mark(each.best, "test", metric, name)
                for metric, _, each in columns
            ),
        ]
        for name in names
    ]
    return [
        "system",
        *(f"{metric}, {protocol}" if others else metric for metric, protocol, _ in columns),
    ], rows


def shuffled_grid(by_protocol: Mapping[Protocol, Measured]) -> Grid:
    """Tabulate UAUC with labels shuffled within users, systems by protocols; no rows if not measured."""
    entries = {
        protocol: {name: of[SHUFFLED] for name, of in each.metrics.items() if SHUFFLED in of}
        for protocol, each in by_protocol.items()
    }
    names = ordered({name: {} for each in entries.values() for name in each})
    rows = [
        [label_of(name), *(cell(each.get(name, {}), "uauc") for each in entries.values())] for name in names
    ]
    return ["system", *(f"uauc, {protocol}" for protocol in entries)], rows


def shown(paired: Mapping[str, Any]) -> str:
    """Format a paired difference with its interval, and a star where 0 is outside."""
    value, low, high = paired["difference"], paired["low"], paired["high"]
    if value is None or low is None:
        return "-" if value is None else f"{value:+.4f}"
    return f"{value:+.4f} [{low:+.3f}, {high:+.3f}]{' *' if low > 0 or high < 0 else ''}"


def differences_grid(apart: Metrics, metrics: Metrics) -> Grid:
    """Tabulate paired differences of the reference to the others on test; a star where 0 is outside."""
    names = [name for name in ordered(metrics) if name in apart]
    return ["other", *METRICS], [
        [label_of(name), *(shown(apart[name][metric]) for metric in METRICS)] for name in names
    ]


GATE_WAYS = {
    "gate": "as configured",
    "averaged": "the global LoRA for everybody",
    "nearest": "the nearest expert alone",
    "mixed": "all experts, by the softmax",
}


def gate_grid(said: Mapping[str, Any]) -> Grid:
    """Tabulate gate.json: AUC and UAUC of each way of fusion, and their paired differences to `averaged`."""
    rows = []
    effect = said.get("effect", {})
    for way in (each for each in GATE_WAYS if each in effect):
        entry = effect[way]
        apart = said["differences"].get(way, {})
        cells = [cell(entry, metric) for metric in SLICE_METRICS]
        cells += [shown(apart[metric]) if metric in apart else "-" for metric in SLICE_METRICS]
        rows.append([f"{way}: {GATE_WAYS[way]}", *cells])
    return ["fusion", *SLICE_METRICS, *(f"{metric} minus averaged" for metric in SLICE_METRICS)], rows


def markdown(grid: Grid) -> str:
    """Format a table in Markdown."""
    header, rows = grid
    lines = [" | ".join(each.replace("|", "\\|") for each in row) for row in (header, *rows)]
    lines.insert(1, "|".join(["---"] * len(header)))
    return "".join(f"| {line} |\n" for line in lines)


def markdown_tables(metrics: Metrics, slices: Metrics, best: Winners) -> str:
    """Format the test table with its population, seeds if there are several, and slices in Markdown."""
    parts = [markdown(system_grid(metrics, best, "test")), population(metrics, "test"), NOTE]
    if (seeds := seed_grid(metrics))[1]:
        parts += ["## Seeds", markdown(seeds), SEED_NOTE]
    parts += ["## Slices", *(markdown(slice_grid(metrics, slices, best, each)) for each in SLICE_METRICS)]
    meaning = "\n".join(f"- {name}: {text}" for name, text in MEANING.items())
    return (
        "\n\n".join(each.rstrip("\n") for each in (*parts, SLICE_NOTE, meaning)).replace("*:", "\\*:") + "\n"
    )

"""Published figures of a data set beside ours, of the same protocol and the same population."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from thinkrec.config.sources import Source
from thinkrec.data.published import published_of
from thinkrec.errors import ConfigError, DataError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.metrics.breakdown import MEANING
from thinkrec.metrics.ranking import METRICS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import Metrics, ordered
from thinkrec.reports.published_figures import FIGURES, POPULATIONS, PublishedFigure
from thinkrec.reports.tables import label_of, number, population
from thinkrec.systems.parts import LANGUAGE


def figures_of(source: Source, dataset: str, protocol: Protocol | None = None) -> list[PublishedFigure]:
    """Return the published rows of a data set, whatever its name and settings.

    Args:
        source: its section of params.yaml; the reader decides.
        dataset: its name, for messages.
        protocol: of the rows; None: all.

    Raises:
        ConfigError: nothing was published of the data, or not under this protocol.
    """
    found = [each for each in FIGURES if each.dataset == source.reader and published_of(source)]
    if not found:
        known = ", ".join(dict.fromkeys(each.dataset for each in FIGURES))
        raise ConfigError(
            f"no published figures of {dataset} are known: they are of the readers {known} "
            "(book: the category Books)"
        )
    protocols = list(dict.fromkeys(each.protocol for each in found))
    if protocol and protocol not in protocols:
        raise ConfigError(
            f"no figure of {dataset} was published under {protocol} histories: leave --protocol out, or name "
            f"{' or '.join(protocols)}"
        )
    return [each for each in found if protocol in (None, each.protocol)]


def compare_published(
    layout: Layout,
    figures: Sequence[PublishedFigure],
    data: Mapping[str, Any] | None,
    system: str | None = None,
) -> dict[str, Any]:
    """Put our figures beside published ones; write the result to reports/D/compare/published.json.

    Args:
        layout: where metrics.json and slices.json lie.
        figures: from `figures_of`.
        data: our counts and settings beside the published ones, from `thinkrec.data.published.compare`.
        system: the only one of ours to show; None: all, with floors and ceilings.

    Returns:
        dataset; backbone: of our language model, None if no system of it is shown; data; tables: for each
        protocol and each of POPULATIONS: protocol, population, ours (system -> entry of metrics.json;
        systems without rows there are left out), published (rows of `figures`).

    Raises:
        ConfigError: metrics.json lacks the protocol of the figures, or the system.
        DataError: prep ran with settings of data of which nothing was published.
    """
    if data is None:
        raise DataError(
            f"{layout.data} was prepared by other settings than those of params.yaml, for which nothing was "
            f"published: run `thinkrec prep --dataset {layout.dataset}` again"
        )
    metrics, slices = read_json(layout.metrics), read_json(layout.slices)
    tables = []
    for protocol in dict.fromkeys(each.protocol for each in figures):
        ours = _ours(layout, metrics, slices, protocol, system)
        for part in POPULATIONS:
            rows = [each for each in figures if (each.protocol, each.population) == (protocol, part)]
            entries = {name: entry[part] for name, entry in ours.items() if entry.get(part, {}).get("rows")}
            table = {"protocol": protocol, "population": part, "ours": entries}
            tables.append(table | {"published": [asdict(each) for each in rows]})
    shown = {name for table in tables for name in table["ours"]}
    result = {
        "dataset": layout.dataset,
        "backbone": _backbone(layout) if shown & set(LANGUAGE) else None,
        "data": dict(data),
        "tables": tables,
    }
    write_json(layout.published, result)
    return result


def _ours(
    layout: Layout,
    metrics: Mapping[str, Any],
    slices: Mapping[str, Any],
    protocol: Protocol,
    only: str | None,
) -> dict[str, dict[str, Any]]:
    """Join metrics and slices under a protocol: system -> slice -> entry, in the order of tables."""
    if protocol not in metrics:
        raise ConfigError(
            f"{layout.metrics}: evaluate.protocols lacks {protocol}, which published figures are measured "
            f"by: add it and run `thinkrec evaluate --dataset {layout.dataset}`"
        )
    known = ordered(metrics[protocol])
    if only and only not in known:
        raise ConfigError(
            f"{layout.metrics} has no system {only!r} under {protocol}; it has {', '.join(known)}"
        )
    names = [only] if only else known
    return {name: {**metrics[protocol][name], **slices.get(protocol, {}).get(name, {})} for name in names}


def _backbone(layout: Layout) -> str | None:
    """Name our language model without folders; None if its record is not there."""
    path = layout.backbone / "backbone.json"
    return PurePath(read_json(path)["model"]).name if path.exists() else None


def tables(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield a result of `compare_published` as tables, 80 columns wide, with numbered notes."""
    notes = list(dict.fromkeys(_note(each) for table in result["tables"] for each in table["published"]))
    for each in result["tables"]:
        yield from _table(each, notes, result["dataset"])
    yield Text(_INTERVALS)
    if any(each["protocol"] == "rolling" for each in result["tables"]):
        yield Text(_ROLLING)
    yield Text("\nSources, language models, and what differs from ours:")
    for turn, note in enumerate(notes, 1):
        yield Text(f"({turn}) {note}")
    if result["backbone"]:
        yield Text(f"Our language model is {result['backbone']}.")
    yield Text(_counts(result["data"]))
    if others := result["data"]["other_settings"]:
        told = (f"{key} is {values['here']}, not {values['paper']}" for key, values in others.items())
        yield Text(f"Our settings differ from the paper's: {'; '.join(told)}.")


_INTERVALS = (
    "±: half the width of the 95 % interval, by bootstrap over users. Published figures have none, so "
    "nothing is said to be ahead of them or behind them."
)
_ROLLING = (
    "rolling: UAUC, NDCG and MAP compare scores of one user made at different moments, so that labels in the "
    f"history move them; {MINUS_RUNNING_MEAN} knows no taste and is their floor."
)
_NO_ROWS = "no rows of ours (`thinkrec evaluate --dataset {dataset}` measures the slice where it has rows)"


def _note(figure: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (figure["source"], figure["backbone"], figure["differs"])))


def _table(table: Mapping[str, Any], notes: Sequence[str], dataset: str) -> Iterator[RenderableType]:
    """Yield a population's table, ours first, with its counts underneath."""
    part, published = table["population"], table["published"]
    ours: Metrics = {name: {part: entry} for name, entry in table["ours"].items()}
    grid = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    grid.add_column(f"{part}, {table['protocol']}", overflow="fold")
    for metric in METRICS:
        grid.add_column(metric, justify="right", no_wrap=True)
    for name, entry in table["ours"].items():
        grid.add_row(Text(label_of(name)), *(Text(_cell(entry, metric)) for metric in METRICS))
    grid.add_section()
    for each in published:
        values = (_number(each["values"].get(metric)) for metric in METRICS)
        grid.add_row(
            Text(f"{each['method']} (published, {notes.index(_note(each)) + 1})"), *map(Text, values)
        )
    if ours or published:
        yield grid
    lines = [population(ours, part)] if ours else [f"{part}: {_NO_ROWS.format(dataset=dataset)}"]
    if name := part.partition("/")[2]:
        lines.append(f"{name}: {MEANING[name]}.")
    if not published:
        lines.append("Nothing was published of these rows.")
    yield Text("\n".join([*lines, ""]))


def _cell(entry: Mapping[str, Any], metric: str) -> str:
    """Format a value with half the width of its interval, or a dash."""
    value, low, high = (entry.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    spread = "" if low is None or high is None else f"±{(high - low) / 2:.3f}".replace("±0", "±")
    return _number(value) + spread


def _number(value: float | None) -> str:
    """Format as `tables.number`, but without a leading 0, to have room for names."""
    return number(value).removeprefix("0")


def _counts(data: Mapping[str, Any]) -> str:
    """Say which of our counts differ from the published ones."""
    known = [each for each in data["counts"] if each["equal"] is not None]
    others = [each for each in known if not each["equal"]]
    if not others:
        return f"Equal to the published counts: {', '.join(each['what'] for each in known)}."
    told = (
        f"{each['what']} {each['ours']:,}, not {each['published']:,} ({each['source']})" for each in others
    )
    return f"Our data differ from the published counts: {'; '.join(told)}."

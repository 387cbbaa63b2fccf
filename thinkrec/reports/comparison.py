"""Comparison of two systems of a data set from their prediction files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from thinkrec.data.tables import Interactions, Split
from thinkrec.errors import ConfigError, DataError, MissingInputError
from thinkrec.files import write_json
from thinkrec.layout import Layout
from thinkrec.metrics.bootstrap import MIN_USERS
from thinkrec.metrics.breakdown import MEANING
from thinkrec.metrics.comparison import compare
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.ranking import METRICS
from thinkrec.protocols import Protocol
from thinkrec.reports.bounds import load_breakdown
from thinkrec.reports.kinds import kind
from thinkrec.reports.predictions import load_predictions, load_seeds, scored_protocols, scored_systems
from thinkrec.reports.tables import number


def compare_systems(
    layout: Layout, a: str, b: str, protocol: Protocol, split: Split, draws: int, seed: int
) -> dict[str, Any]:
    """Compare two systems on a split; write the result to reports/D/compare/PROTOCOL/A-B-SPLIT.json.

    Args:
        layout: paths of predictions and interactions.
        a, b: names of scored systems, floors or ceilings.
        protocol: of the predictions.
        split: valid or test.
        draws: number of bootstrap resamples of users, and of trainings if a system has several.
        seed: random seed of the resampling.

    Returns:
        a, b, protocol, split, draws, seed; trainings: seeds of each; slices: from
            `metrics.comparison.compare`.

    Raises:
        ConfigError: the names are equal, or one has no predictions.
        MissingInputError: nothing was scored yet.
        DataError: predictions do not match the split's rows.
    """
    _check_names(layout, a, b, protocol)
    data = Interactions.load(layout.interactions)
    trained = {name: _trainings(layout, name, data, protocol, split) for name in (a, b)}
    breakdown = load_breakdown(layout, data)
    warm = [f"{split}/warm"] if np.any(data.not_cold[data.rows(split)]) else []
    parts = [split, *warm, *breakdown.names(split)]
    result = {
        "a": a,
        "b": b,
        "protocol": protocol,
        "split": split,
        "draws": draws,
        "seed": seed,
        "trainings": {"a": len(trained[a]), "b": len(trained[b])},
        "slices": compare(trained[a], trained[b], parts, breakdown.slice, draws, seed),
    }
    write_json(layout.comparison(a, b, protocol, split), result)
    return result


def _check_names(layout: Layout, a: str, b: str, protocol: Protocol) -> None:
    there = scored_protocols(layout)
    if not there:
        raise MissingInputError(layout.predictions, f"thinkrec evaluate --dataset {layout.dataset}")
    if protocol not in there:
        raise ConfigError(
            f"{layout.predictions} has no predictions under {protocol} histories; there are "
            f"{', '.join(there)} (`evaluate.protocols` names those that evaluate scores)"
        )
    known = scored_systems(layout, protocol)
    for name in (a, b):
        if name not in known:
            raise ConfigError(
                f"{layout.predictions} has no predictions of {name!r}; there are {', '.join(known)} "
                f"(`thinkrec evaluate --dataset {layout.dataset}` scores those of evaluate.systems)"
            )
    if a == b:
        raise ConfigError(f"{a} is compared with itself; name two systems of {', '.join(known)}")


def _trainings(
    layout: Layout, system: str, data: Interactions, protocol: Protocol, split: Split
) -> list[Predictions]:
    """Load a system's predictions of a split, one entry per training seed."""
    first = layout.prediction(protocol, system)
    trainings = {str(first): load_predictions(first)}
    trainings |= {
        str(layout.seed_prediction(protocol, system, n)): each
        for n, each in load_seeds(layout, protocol, system).items()
    }
    rows = {path: each.take(each.slice(split)) for path, each in trainings.items()}
    for path, each in rows.items():
        _check_rows(each, data, split, path, f"thinkrec evaluate --dataset {layout.dataset}")
    return list(rows.values())


def _check_rows(own: Predictions, data: Interactions, split: Split, path: str, command: str) -> None:
    expected = data.rows(split)
    if len(own.score) == 0:
        raise DataError(f"{path}: no {split} row was scored, so there is nothing to compare")
    row = data.row_of(own.user_id, own.position)
    if not (
        np.array_equal(row, expected)
        and np.array_equal(data.item_id[row], own.item_id)
        and np.array_equal(data.label[row], own.label)
    ):
        raise DataError(
            f"{path}: its {len(row)} {split} rows are not the {len(expected)} of the interactions; "
            f"`{command}` scores all systems on the same rows"
        )


def tables(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield a result of `compare_systems` as two tables, 80 columns wide, with explanations."""
    for system in ("a", "b"):
        yield Text(
            f"{system.upper()}: {result[system]}, {_training(result[system], result['trainings'][system])}"
        )
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column(f"{result['split']}, {result['protocol']}", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for name in ("users", "A", "B", "A - B, 95 % interval", "effect", "ahead"):
        table.add_column(name, justify="right", no_wrap=True)
    for part, entry in result["slices"].items():
        head = chain((part.partition("/")[2] or "all", f"  {entry['rows']:,} rows"), repeat(""))
        for first, name in zip(head, METRICS, strict=False):
            table.add_row(Text(first), name, *map(Text, _cells(entry[name])))
        table.add_section()
    yield table
    yield Text(_NOTE.format(**result, fewest=MIN_USERS))
    yield _apart(result)
    yield Text(_APART)
    yield Text("".join(f"{name}: {text}\n" for name, text in MEANING.items()))


def _apart(result: Mapping[str, Any]) -> Table:
    """The two standard deviations of each difference, a row a slice."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("sd of A - B", no_wrap=True)
    for name in METRICS:
        table.add_column(name, justify="right", no_wrap=True)
    for part, entry in result["slices"].items():
        pairs = ((entry[name]["sd_users"], entry[name]["sd_trainings"]) for name in METRICS)
        cells = (" / ".join("-" if value is None else f"{value:.4f}" for value in pair) for pair in pairs)
        table.add_row(part.partition("/")[2] or "all", *cells)
    return table


_NOTE = """\
Brackets: paired bootstrap over users, {draws} draws, seed {seed}; none with fewer than {fewest} users.
ahead: A or B if the interval excludes 0, else -.
effect: share of users for whom A is better minus the share for whom B is.
users: those who define the metric.
If two systems are equal, one interval in twenty excludes 0 by chance.
"""
_APART = """\
First: between draws of users, with the mean over trainings held fixed; what more users would lessen.
Second: between pairs of one training of each, with all users; what more trainings would lessen; - with one.
The interval above has both.
"""


def _training(system: str, seeds: int) -> str:
    if kind(system) != "system":
        return f"a {kind(system)}, which is not trained"
    if seeds == 1:
        return "1 training seed: the variance between trainings is NOT in the interval"
    return f"{seeds} training seeds: values are their means, each draw samples one of them"


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    difference, low, high, effect = (entry[key] for key in ("difference", "low", "high", "effect"))
    spread = "" if low is None else f" [{low:+.3f},{high:+.3f}]"
    return (
        f"{entry['users']:,}",
        number(entry["a"]),
        number(entry["b"]),
        "-" if difference is None else f"{difference:+.4f}{spread}",
        "-" if effect is None else f"{effect:+.2f}",
        (entry["ahead"] or "-").upper(),
    )

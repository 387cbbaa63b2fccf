"""Predictions and per-user results as Parquet files, from which all metrics can be recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.data.tables import SPLITS
from thinkrec.errors import DataError
from thinkrec.files import whole
from thinkrec.layout import Layout
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.slices import Evaluation, over_seeds
from thinkrec.protocols import PROTOCOLS, Protocol
from thinkrec.reports.kinds import SEEDS

Seeds = Mapping[str, Mapping[int, Predictions]]
"""system -> seed -> predictions, for the seeds after the first."""
_USERS = ".users"
_COLUMNS = ("user_id", "item_id", "position", "split", "label", "score", "not_cold")


def _table(predictions: Predictions) -> pa.Table:
    columns = {name: getattr(predictions, name) for name in _COLUMNS}
    columns["split"] = pa.array(np.array(SPLITS)[predictions.split])
    return pa.table(columns)


def _user_table(evaluation: Evaluation, system: str) -> pa.Table:
    """Tabulate rows, positives and metrics by slice and user; null if the user does not define a metric."""
    parts = []
    for name, systems in evaluation.ranking.items():
        if system in systems:
            ranking = systems[system]
            parts.append(
                pa.table(
                    {
                        "slice": [name] * len(ranking.user),
                        "user_id": ranking.user,
                        "rows": ranking.rows,
                        "positives": ranking.positives,
                        **{key: pa.array(each, from_pandas=True) for key, each in ranking.per_user.items()},
                    }
                )
            )
    return pa.concat_tables(parts)


def save_predictions(
    layout: Layout, measured: Mapping[Protocol, tuple[Mapping[str, Predictions], Evaluation, Seeds]]
) -> None:
    """Write `<system>.parquet`, `<system>.users.parquet` and `seeds/<system>-<seed>.parquet` of all systems.

    Each protocol has a folder of its own. All are replaced atomically.

    Args:
        layout: where they go.
        measured: by protocol: predictions by system, their evaluation, predictions of further seeds.

    Raises:
        StorageError: the disk is full or not writable.
    """

    def write(path: Path, table: pa.Table) -> None:
        path = folder / path.relative_to(layout.predictions)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")

    with whole(layout.predictions) as folder:
        for protocol, (systems, evaluation, seeds) in measured.items():
            for name, predictions in systems.items():
                write(layout.prediction(protocol, name), _table(predictions))
                write(layout.user_results(protocol, name), _user_table(evaluation, name))
                for seed, trained in seeds.get(name, {}).items():
                    write(layout.seed_prediction(protocol, name, seed), _table(trained))


def load_predictions(path: Path) -> Predictions:
    """Read one system's predictions.

    Raises:
        DataError: it is not a Parquet file or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: {error}; `thinkrec evaluate` writes the file again") from error
    missing = sorted(set(_COLUMNS) - set(table.column_names))
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; `thinkrec evaluate` writes the file again")
    columns = {name: table[name].to_numpy() for name in _COLUMNS}
    split = np.select([columns["split"] == name for name in SPLITS], np.arange(len(SPLITS)))
    return Predictions(**columns | {"split": split.astype(np.int8)})


def scored_protocols(layout: Layout) -> list[Protocol]:
    """List the protocols with predictions, in the order of PROTOCOLS."""
    return [each for each in PROTOCOLS if (layout.predictions / each).is_dir()]


def scored_systems(layout: Layout, protocol: Protocol) -> list[str]:
    """List all systems with predictions under a protocol, including floors and ceilings."""
    names = (path.stem for path in (layout.predictions / protocol).glob("*.parquet"))
    return sorted(name for name in names if not name.endswith(_USERS))


def load_seeds(layout: Layout, protocol: Protocol, system: str) -> dict[int, Predictions]:
    """Load a system's predictions by seed, for the seeds after the first."""
    paths = layout.seed_prediction(protocol, system, 0).parent.glob(f"{system}-*.parquet")
    numbers = ((path.stem.removeprefix(f"{system}-"), path) for path in paths)
    by_seed = {int(number): path for number, path in numbers if number.isdecimal()}  # thinkrec-no-... is not
    return {seed: load_predictions(by_seed[seed]) for seed in sorted(by_seed)}


def with_seeds(
    evaluation: Evaluation, systems: Mapping[str, Predictions], seeds: Seeds
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the metrics of an evaluation, with `test/seeds` where a system was trained with several."""
    metrics = {name: dict(each) for name, each in evaluation.metrics.items()}
    for name, others in seeds.items():
        if others and metrics[name]["test"]["rows"]:
            metrics[name][SEEDS] = over_seeds([systems[name], *others.values()])
    return metrics

"""Predictions and results per user as Parquet files, from which every number can be computed again."""

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
from thinkrec.metrics.slices import Evaluation, evaluate_slices

_USERS = ".users"
_COLUMNS = ("user_id", "item_id", "position", "split", "label", "score", "not_cold")


def _table(predictions: Predictions) -> pa.Table:
    columns = {name: getattr(predictions, name) for name in _COLUMNS}
    columns["split"] = pa.array(np.array(SPLITS)[predictions.split])
    return pa.table(columns)


def _user_table(evaluation: Evaluation, system: str) -> pa.Table:
    """One row a slice and user: rows, positives, uauc, ndcg@5, map@5 (null where the user does not count)."""
    parts = []
    for name, systems in evaluation.ranking.items():
        if system in systems:
            found = systems[system]
            parts.append(
                pa.table(
                    {
                        "slice": [name] * len(found.user),
                        "user_id": found.user,
                        "rows": found.rows,
                        "positives": found.positives,
                        **{key: pa.array(each, from_pandas=True) for key, each in found.per_user.items()},
                    }
                )
            )
    return pa.concat_tables(parts)


def save_predictions(layout: Layout, systems: Mapping[str, Predictions], evaluation: Evaluation) -> None:
    """Write `<system>.parquet` and `<system>.users.parquet` of every system; the folder is replaced whole.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    with whole(layout.predictions) as folder:
        folder.mkdir()
        for name, predictions in systems.items():
            pq.write_table(_table(predictions), folder / layout.prediction(name).name, compression="zstd")
            users = _user_table(evaluation, name)
            pq.write_table(users, folder / layout.user_results(name).name, compression="zstd")


def load_predictions(path: Path) -> Predictions:
    """Read one system's predictions.

    Raises:
        DataError: the file lacks a column.
    """
    table = pq.read_table(path)
    missing = sorted(set(_COLUMNS) - set(table.column_names))
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; `thinkrec evaluate` writes the file anew")
    columns = {name: table[name].to_numpy() for name in _COLUMNS}
    split = np.select([columns["split"] == name for name in SPLITS], np.arange(len(SPLITS)))
    return Predictions(**columns | {"split": split.astype(np.int8)})


def load_all(layout: Layout) -> dict[str, Predictions]:
    """Every system's predictions, by name."""
    paths = sorted(layout.predictions.glob("*.parquet"))
    return {path.stem: load_predictions(path) for path in paths if not path.stem.endswith(_USERS)}


def recompute(layout: Layout, draws: int, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute metrics.json's systems again from the prediction files alone, intervals included."""
    return evaluate_slices(load_all(layout), draws, seed).metrics

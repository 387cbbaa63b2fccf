"""Scores, computed again with the future spoiled, and what rolling and frozen histories change in metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.audit.check import Check, judged, skipped, some
from thinkrec.audit.interactions import place
from thinkrec.audit.spoil import blind_test
from thinkrec.data.tables import HistoryMode, Interactions
from thinkrec.layout import Layout
from thinkrec.metrics.bootstrap import bootstrap, paired_difference
from thinkrec.metrics.ranking import ranking_metrics, rounded
from thinkrec.reports.predictions import load_predictions

Scorer = Callable[[Interactions, np.ndarray, HistoryMode], np.ndarray]
"""Scores of rows of some interactions under a mode of histories, [n]."""
_KEYS = ("user_id", "item_id", "position", "label", "split", "not_cold")
TOLERANCE = 1e-4
"""Largest difference that other batches may make (guarantee 3)."""


def check_scores(
    layout: Layout, data: Interactions, name: str, scorer: Scorer, mode: HistoryMode, seed: int
) -> Check:
    """Compare a system's predictions on disk with scores that can't know the future.

    Of half of the users one test row each is scored, drawn by `seed`. Its label and all that follows it are
    spoiled, and so are all test rows of the other half.

    Args:
        layout: where the predictions lie.
        data: the interactions.
        name: of the system.
        scorer: the system.
        mode: of the histories behind the predictions on disk.
        seed: of the rows.
    """
    claim = f"{name}: of the past ({mode})"
    if not layout.prediction(name).exists():
        maker = f"`thinkrec evaluate --dataset {layout.dataset}` makes it"
        return skipped("scores", claim, f"{layout.prediction(name)} is not there yet: {maker}")
    rows, blind = blind_test(data, seed)
    table = pq.read_table(layout.prediction(name), columns=["user_id", "position", "score"])
    disk = _joined(data, rows, *(table[key].to_numpy() for key in ("user_id", "position", "score")))
    off = np.abs(disk - scorer(blind, rows, mode))
    wrong = rows[~(off <= TOLERANCE * (1 + np.abs(disk)))]
    faults = some(len(wrong), "scores are not those that their rows' past gives", place(data, wrong))
    advice = "they know the future, or the system or `prompt` changed since: run `thinkrec evaluate` again"
    said = f"{len(rows):,} test rows: the same with label, later rows and other users' test rows spoiled"
    return judged("scores", claim, faults and [*faults, advice], said, rows=len(rows))


def check_predictions(
    layout: Layout, data: Interactions, name: str, scores: np.ndarray, number: int | None = None
) -> Check:
    """Compare every row of a system's predictions on disk with what the system says.

    Args:
        layout: where the predictions lie.
        data: the interactions.
        name: of the system.
        scores: its scores of all valid and test rows, in the order of the interactions.
        number: seed of a further training; None: the first.
    """
    path = layout.prediction(name) if number is None else layout.seed_prediction(name, number)
    claim = f"{name}: every row is what the system says" + ("" if number is None else f" (seed {number})")
    if not path.exists():
        return skipped("predictions", claim, f"{path} is not there yet")
    disk, rows = load_predictions(path), np.flatnonzero(data.split > 0)
    faults = [
        f"{path.name} holds other values of {key} than the interactions"
        for key in _KEYS
        if not np.array_equal(getattr(disk, key), getattr(data, key)[rows])
    ]
    if not faults:
        off = np.abs(disk.score - scores)
        wrong = rows[~(off <= TOLERANCE * (1 + np.abs(scores)))]
        faults = some(len(wrong), "scores are not the system's", place(data, wrong))
    advice = "run `thinkrec evaluate` again"
    said = f"{len(rows):,} valid and test rows, scored again: all equal"
    return judged("predictions", claim, faults and [*faults, advice], said, rows=len(rows))


def _joined(
    data: Interactions, rows: np.ndarray, user: np.ndarray, position: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """Scores of these rows out of a table of predictions, NaN for a row that it lacks, [n]."""
    row = data.row_of(user, position)
    found = np.full(len(data), np.nan)
    found[row[row >= 0]] = score[row >= 0]
    return found[rows]


def compare_modes(data: Interactions, scorer: Scorer, draws: int, seed: int) -> dict[str, Any]:
    """Metrics on test with rolling and with frozen histories, and rolling's lead with its 95 % interval.

    Args:
        data: the interactions.
        scorer: the system.
        draws: resamples of users.
        seed: of the resamples.

    Raises:
        ConfigError: the split has no frozen histories.
    """
    rows = data.rows("test")
    user, label = data.user_id[rows], data.label[rows]
    scores = {"rolling": scorer(data, rows, "rolling"), "frozen": scorer(data, rows, "frozen")}
    metrics = {mode: ranking_metrics(user, label, score) for mode, score in scores.items()}
    drawn = bootstrap(user, label, scores, metrics, draws, seed)
    lead = paired_difference(metrics["rolling"], metrics["frozen"], drawn["rolling"], drawn["frozen"])
    found: dict[str, Any] = {
        mode: {key: rounded(value) for key, value in each.values.items()} for mode, each in metrics.items()
    }
    found["difference"] = {
        name: {key: rounded(value) for key, value in each.items()} for name, each in lead.items()
    }
    changed = int((scores["rolling"] != scores["frozen"]).sum())
    return {**found, "rows": len(rows), "rows_changed": changed}

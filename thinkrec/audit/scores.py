"""Scores computed again: with a spoiled future, and as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.interactions import first_row
from thinkrec.audit.spoil import blind_test
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol
from thinkrec.reports.predictions import load_predictions

Scorer = Callable[[Interactions, np.ndarray, Protocol], np.ndarray]
"""(interactions, rows, history protocol) -> scores, [n]."""
_KEYS = ("user_id", "item_id", "position", "label", "split", "not_cold")
TOLERANCE = 1e-4
"""Tolerance for other batching (guarantee 3)."""


def check_scores(
    layout: Layout, data: Interactions, name: str, scorer: Scorer, protocol: Protocol, seed: int
) -> Check:
    """Compare a system's predictions on disk with scores computed without the future.

    One test row of each of half the users, drawn by `seed`, is scored with its label and all later rows
    spoiled, and with all test rows of the other half spoiled.

    Args:
        layout: paths of the predictions.
        data: the interactions.
        name: of the system.
        scorer: the system.
        protocol: history protocol of the predictions.
        seed: seed of the draw.
    """
    claim = f"{name}: of the past ({protocol})"
    if not layout.prediction(protocol, name).exists():
        maker = f"`thinkrec evaluate --dataset {layout.dataset}` makes it"
        return skipped("scores", claim, f"{layout.prediction(protocol, name)} is not there yet: {maker}")
    rows, blind = blind_test(data, seed)
    table = pq.read_table(layout.prediction(protocol, name), columns=["user_id", "position", "score"])
    disk = _joined(data, rows, *(table[key].to_numpy() for key in ("user_id", "position", "score")))
    off = np.abs(disk - scorer(blind, rows, protocol))
    wrong = rows[~(off <= TOLERANCE * (1 + np.abs(disk)))]
    faults = fault(len(wrong), "scores are not those that their rows' past gives", first_row(data, wrong))
    advice = "they know the future, or the system or `prompt` changed since: run `thinkrec evaluate` again"
    summary = f"{len(rows):,} test rows: the same with label, later rows and other users' test rows spoiled"
    return judged("scores", claim, faults and [*faults, advice], summary, rows=len(rows))


def check_predictions(
    layout: Layout,
    data: Interactions,
    name: str,
    protocol: Protocol,
    scores: np.ndarray,
    number: int | None = None,
) -> Check:
    """Compare all of a system's predictions on disk with its scores.

    Args:
        layout: paths of the predictions.
        data: the interactions.
        name: of the system.
        protocol: of the predictions.
        scores: its scores of all valid and test rows, in the order of the interactions.
        number: seed of a further training; None for the first.
    """
    path = (
        layout.prediction(protocol, name)
        if number is None
        else layout.seed_prediction(protocol, name, number)
    )
    whose = "" if number is None else f", seed {number}"
    claim = f"{name}: every row is what the system says ({protocol}{whose})"
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
        faults = fault(len(wrong), "scores are not the system's", first_row(data, wrong))
    advice = "run `thinkrec evaluate` again"
    summary = f"{len(rows):,} valid and test rows, scored again: all equal"
    return judged("predictions", claim, faults and [*faults, advice], summary, rows=len(rows))


def _joined(
    data: Interactions, rows: np.ndarray, user: np.ndarray, position: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """Look up the scores of rows in a table of predictions, NaN if missing, [n]."""
    row = data.row_of(user, position)
    all_scores = np.full(len(data), np.nan)
    all_scores[row[row >= 0]] = score[row >= 0]
    return all_scores[rows]

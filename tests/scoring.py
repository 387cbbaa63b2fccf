"""Scores of rows by a system, and figures of predictions on disk, each in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, fit_gbdt
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.metrics.slices import evaluate_slices
from thinkrec.protocols import Protocol
from thinkrec.reports.predictions import load_predictions, load_seeds, scored_systems, with_seeds
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.encoders import EncoderSystem


def encoder_scores(
    folder: Path, data: Interactions, rows: np.ndarray, protocol: Protocol = "rolling"
) -> np.ndarray:
    """Logits of rows by the encoder in a folder, [n] float32."""
    return EncoderSystem(folder).score(Candidates.of_rows(data, rows, protocol))


def gbdt_scores(
    data: Interactions, rows: np.ndarray, options: Boosting, seed: int, protocol: Protocol = "rolling"
) -> np.ndarray:
    """Logits of rows by trees grown now, [n] float64."""
    matrix, _ = features(data, np.arange(len(data)), protocol)
    return fit_gbdt(data, matrix, options, seed).score(matrix[rows])


def measured_again(layout: Layout, protocol: Protocol, draws: int, seed: int) -> dict[str, Any]:
    """What metrics.json holds under a protocol, from the prediction files alone."""
    names = scored_systems(layout, protocol)
    systems = {name: load_predictions(layout.prediction(protocol, name)) for name in names}
    seeds = {name: load_seeds(layout, protocol, name) for name in names}
    return with_seeds(evaluate_slices(systems, draws, seed), systems, seeds)

"""Scores of rows by a system, in one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, fit_gbdt
from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol
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

"""The data behind the plots, as CSV files that `dvc plots` and the page both read."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_curve

from thinkrec.errors import DataError
from thinkrec.files import write_csv
from thinkrec.layout import Layout
from thinkrec.metrics.predictions import Predictions
from thinkrec.reports.kinds import kind

log = logging.getLogger(__name__)
T = TypeVar("T")
_POINTS = 200
_BINS = 10


def roc_points(label: np.ndarray, score: np.ndarray) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1), at most 200; none with one class."""
    if len(np.unique(label)) < 2:
        return []
    fpr, tpr, _ = roc_curve(label, score)
    # Thinned to even steps along the curve, so that steep parts keep their shape.
    kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, _POINTS)).clip(max=len(fpr) - 1))
    return [(round(float(fpr[i]), 6), round(float(tpr[i]), 6)) for i in kept]


def calibration_points(label: np.ndarray, score: np.ndarray) -> list[tuple[float, float, int]]:
    """(mean predicted probability, share of likes, rows) in ten bins of equal count.

    Equal scores stay in one bin. Scores are logits; the predicted probability is their sigmoid.
    """
    if len(score) == 0:
        return []
    predicted = expit(score.astype(np.float64))
    edges = np.sort(predicted)[np.arange(1, _BINS) * len(predicted) // _BINS]
    bins = np.searchsorted(edges, predicted, side="right")
    rows = np.bincount(bins, minlength=_BINS)
    sums = [np.bincount(bins, weights=each, minlength=_BINS) for each in (predicted, label)]
    return [
        (round(float(sums[0][b] / rows[b]), 6), round(float(sums[1][b] / rows[b]), 6), int(rows[b]))
        for b in np.flatnonzero(rows)
    ]


def write_plots(layout: Layout, systems: Mapping[str, Predictions]) -> None:
    """Write roc.csv (floors too) and calibration.csv (systems whose scores are logits) of the test rows."""
    roc: list[tuple[object, ...]] = []
    calibration: list[tuple[object, ...]] = []
    for name, predictions in systems.items():
        test = predictions.take(predictions.slice("test"))
        if kind(name) != "ceiling":
            roc += [(name, *point) for point in roc_points(test.label, test.score)]
        if kind(name) == "system":
            calibration += [(name, *point) for point in calibration_points(test.label, test.score)]
    write_csv(layout.plot("roc"), ["system", "fpr", "tpr"], roc)
    write_csv(layout.plot("calibration"), ["system", "predicted", "observed", "rows"], calibration)


def readable(damaged: list[str], read: Callable[[Layout, str], T], layout: Layout, stage: str) -> T | None:
    """What `read` reads of a stage; None where it is damaged, which is logged and added to `damaged`."""
    try:
        return read(layout, stage)
    except DataError as error:
        log.warning("%s; the report leaves it out", error)
        damaged.append(str(error))
        return None


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as dicts; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

"""Data of plots as CSV files, for `dvc plots` and the page."""

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
    """Compute (false positive rate, true positive rate), at most 200 points; none with one class."""
    if len(np.unique(label)) < 2:
        return []
    fpr, tpr, _ = roc_curve(label, score)
    # Thin to even steps of fpr + tpr, so that steep parts keep their shape.
    indices = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, _POINTS)).clip(max=len(fpr) - 1))
    return [(round(float(fpr[i]), 6), round(float(tpr[i]), 6)) for i in indices]


def calibration_points(label: np.ndarray, score: np.ndarray) -> list[tuple[float, float, int]]:
    """Compute (mean predicted probability, share of likes, rows) in ten bins of equal count.

    Ties share a bin. Scores are logits; the predicted probability is their sigmoid.
    """
    if len(score) == 0:
        return []
    predicted = expit(score.astype(np.float64))
    # Edges are the deciles; a row's bin is the number of edges at or below it.
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
    """Call `read` for a stage; if damaged, return None, log the error and add it to `damaged`."""
    try:
        return read(layout, stage)
    except DataError as error:
        log.warning("%s; the report leaves it out", error)
        damaged.append(str(error))
        return None


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file as dicts; none if there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

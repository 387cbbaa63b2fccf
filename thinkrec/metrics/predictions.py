"""Scored rows of one system: the input of all metrics."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.errors import DataError, ModelError

SLICES = ("test", "test/warm", "test/cold", "valid", "valid/warm", "valid/cold")
_TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class Predictions:
    """Scored rows of valid, test or both, in the order of the interactions table.

    Shapes: n rows.

    Args:
        user_id, item_id, position, label: [n] int64, as in `Interactions`.
        split: [n] int8, index into SPLITS.
        not_cold: [n] bool, whether user and item both occur in train.
        score: [n] float32, higher is better.
    """

    user_id: np.ndarray
    item_id: np.ndarray
    position: np.ndarray
    label: np.ndarray
    split: np.ndarray
    not_cold: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, data: Interactions, rows: np.ndarray, score: np.ndarray, system: str) -> Predictions:
        """Join scores with their rows.

        Args:
            data: the interactions.
            rows: distinct row numbers in `data`, [n]: all of valid, of test, or of both.
            score: [n], stored as float32.
            system: name used in error messages.

        Raises:
            ModelError: a score is not finite.
            DataError: the rows are not whole splits of valid or test.
        """
        if len(rows) != len(score):
            raise ValueError(f"{system}: {len(rows)} rows but {len(score)} scores")
        order = np.argsort(rows)
        rows = rows[order]
        with np.errstate(over="ignore"):
            score = score[order].astype(np.float32)
        _check_whole(data, rows, system)
        bad = np.flatnonzero(~np.isfinite(score))
        if len(bad):
            row = rows[bad[0]]
            raise ModelError(
                f"{system}: score of row {row} (user_id {data.user_id[row]}, position {data.position[row]}) "
                f"is {score[bad[0]]}, {len(bad)} such rows in all; train it again, with a lower learning "
                "rate if its loss diverged"
            )
        names = ("user_id", "item_id", "position", "label", "split", "not_cold")
        return cls(**{name: getattr(data, name)[rows] for name in names}, score=score)

    def slice(self, name: str) -> np.ndarray:
        """Mask the rows of one of SLICES, [n] bool."""
        split, _, warmth = name.partition("/")
        mask = self.split == SPLITS.index(split)
        return mask & (self.not_cold == (warmth == "warm")) if warmth else mask

    def take(self, mask: np.ndarray) -> Predictions:
        """Select the rows of a mask, [n] bool."""
        return Predictions(*(getattr(self, each.name)[mask] for each in fields(self)))


def _check_whole(data: Interactions, rows: np.ndarray, system: str) -> None:
    if len(rows) == 0:
        raise DataError(f"{system}: no row was scored; score all rows of test, and of valid if wanted")
    if len(np.unique(rows)) < len(rows):
        raise DataError(f"{system}: {len(rows) - len(np.unique(rows))} rows have more than one score")
    scored = np.bincount(data.split[rows], minlength=len(SPLITS))
    if scored[_TRAIN]:
        raise DataError(
            f"{system}: {scored[_TRAIN]} scored rows are of train; score valid and test rows only"
        )
    for code, name in enumerate(SPLITS):
        whole = int((data.split == code).sum())
        if scored[code] not in (0, whole):
            raise DataError(
                f"{system}: {scored[code]} of the {whole} {name} rows have a score; score all of them or "
                "none, so that every system is measured on the same rows"
            )

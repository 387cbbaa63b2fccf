"""Sums over the past for all rows at once, by sorted columns and running totals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol

_LARGEST = np.iinfo(np.int64).max


def ranks(values: np.ndarray) -> np.ndarray:
    """Index of each value among the distinct ones, ascending, [N] int64."""
    return np.unique(values, return_inverse=True)[1]


def _totals(values: np.ndarray) -> np.ndarray:
    """Sum of all values before each place, and of all of them, [N + 1] float64."""
    totals = np.zeros(len(values) + 1)
    np.cumsum(values, out=totals[1:])
    return totals


@dataclass(frozen=True)
class Own:
    """What lies before each row in its own user's time line: the rows `start` to `end`, without `end`.

    Shapes: N rows, in the order of `Interactions`.

    Args:
        start: first row of the user, [N].
        end: first row that is no longer history, [N].
    """

    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, data: Interactions, protocol: Protocol) -> Own:
        """The histories of all rows; the order of the time line decides, so that equal moments count.

        Raises:
            ConfigError: `train`, with a split whose train rows do not come first.
        """
        rows = np.arange(len(data))
        start = rows - data.position
        latest = data.histories(rows, 1, protocol)[:, 0]
        return cls(start, np.where(latest < 0, start, latest + 1))

    def sum(self, values: np.ndarray, width: int | None = None) -> np.ndarray:
        """Sum of `values` [N] over the latest `width` rows of each history (None: all), [N] float64."""
        begin = self.start if width is None else np.maximum(self.start, self.end - width)
        totals = _totals(values)
        return totals[self.end] - totals[begin]

    def back(self, values: np.ndarray, steps: int) -> np.ndarray:
        """`values` of the row `steps` (from 1) places before the history's end, [N]; NaN where none is."""
        place = self.end - steps
        return np.where(place >= self.start, values[np.maximum(place, 0)], np.nan)


class Past:
    """Sums over counted rows of the same key at a strictly earlier moment, whoever the user.

    Shapes: P rows, in any order. Cost: one sort.

    Args:
        key: what rows have to share, [P] whole numbers from 0.
        moment: [P] whole numbers from 0; equal moments are no past of each other.
        counted: rows whose values count, [P] bool; all rows have sums.
    """

    def __init__(self, key: np.ndarray, moment: np.ndarray, counted: np.ndarray) -> None:
        """Sort by key, then moment."""
        span = int(moment.max(initial=0)) + 1
        if int(key.max(initial=0)) < _LARGEST // span - 1:
            order = np.argsort(key * span + moment)  # one sort instead of two
        else:
            order = np.lexsort((moment, key))
        key, moment = key[order], moment[order]
        other_key = np.diff(key, prepend=-1) != 0
        self._order = order
        self._counted = counted[order]
        self._start = _latest(other_key)
        self._end = _latest(other_key | (np.diff(moment, prepend=-1) != 0))

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` [P] over each row's past, [P] float64."""
        totals = _totals(np.where(self._counted, values[self._order], 0))
        sums = np.empty(len(self._order))
        sums[self._order] = totals[self._end] - totals[self._start]
        return sums


def _latest(first: np.ndarray) -> np.ndarray:
    """For each place the latest place up to it at which `first` holds, [P]."""
    return np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))

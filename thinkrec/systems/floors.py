"""Floors as systems."""

from __future__ import annotations

import numpy as np

from thinkrec.metrics.floors import Floors
from thinkrec.metrics.running import running_mean
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.registry import System


class Floor:
    """One of the floors, counted in the data set's train rows.

    Args:
        floors: all of them.
        name: this one's.
    """

    def __init__(self, floors: Floors, name: str) -> None:
        """Keep both."""
        self.floors, self.name, self.history_length = floors, name, 0

    def prepare(self) -> None:
        """Nothing is left to load."""

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user."""
        return "the user's share of likes in train" if known else "the items alone"

    def score(self, candidates: Candidates) -> np.ndarray:
        """Score candidates by their item and user alone, [n] float32."""
        user = candidates.data.user_id[candidates.rows]
        return self.floors.scores(user, candidates.items)[self.name].astype(np.float32)

    def seeds(self) -> dict[int, System]:
        """None: nothing is drawn."""
        return {}


class MinusRunningMean:
    """The floor that knows no taste: minus the share of likes in the history.

    Args:
        mean: share of likes in train, towards which the history's is smoothed.
    """

    def __init__(self, mean: float) -> None:
        """Keep it."""
        self.mean, self.history_length = mean, None

    def prepare(self) -> None:
        """Nothing is left to load."""

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user."""
        return "the share of likes in the history"

    def score(self, candidates: Candidates) -> np.ndarray:
        """Score candidates by their histories alone, [n] float32 in -1..0."""
        asked = candidates
        share = running_mean(asked.data, asked.rows, asked.protocol, mean=self.mean)
        return -share.astype(np.float32)

    def seeds(self) -> dict[int, System]:
        """None: nothing is drawn."""
        return {}

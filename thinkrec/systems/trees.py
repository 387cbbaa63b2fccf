"""The gbdt baseline as a system."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Gbdt
from thinkrec.baselines.past import Own
from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.errors import ModelError
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import System


@dataclass
class Trees:
    """Trees over statistics of the past, of the seed of all stages and of further ones.

    Args:
        data: the data set, whose train rows say how others like an item.
        fitted: by seed, that of the stages first.
    """

    data: Interactions
    fitted: dict[int, Gbdt]
    history_length: int | None = None

    def prepare(self) -> None:
        """Nothing is left to load."""

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user."""
        return "statistics of the history"

    @classmethod
    def of(cls, project: Project) -> Trees:
        """Read the trees of a project.

        Raises:
            ModelError: they can't be read.
        """
        folder, seed = project.layout.baselines, project.params.seed
        numbers = sorted(int(path.stem) for path in folder.glob("*.safetensors"))
        if seed not in numbers:
            raise ModelError(f"{folder} has no trees of seed {seed}; run `thinkrec baselines` again")
        order = [seed, *(number for number in numbers if number != seed)]
        return cls(project.data, {number: Gbdt.load(folder / f"{number}.safetensors") for number in order})

    def score(self, candidates: Candidates) -> np.ndarray:
        """Score candidates: logits, [n] float32.

        What others say of an item comes from the data set's train rows.
        """
        fitted = next(iter(self.fitted.values()))
        return fitted.score(_described(self.data, candidates)).astype(np.float32)

    def seeds(self) -> dict[int, System]:
        """The same grown with further seeds, by seed."""
        _, *others = self.fitted
        return {each: Trees(self.data, {each: self.fitted[each]}) for each in others}


@lru_cache(maxsize=1)  # further seeds are asked the same
def _described(data: Interactions, candidates: Candidates) -> np.ndarray:
    """Features of candidates, [n, F] float32."""
    asked, rows = candidates.data, candidates.rows
    if not candidates.handed_in and np.array_equal(asked.item_id[rows], candidates.items):
        return features(asked, rows, candidates.protocol)[0]
    return _beside(data if candidates.handed_in else asked, candidates)


def _beside(data: Interactions, candidates: Candidates) -> np.ndarray:
    """Features of candidates that are no rows of a data set: histories and candidates are laid out behind it.

    Nothing of them counts for others.

    Args:
        data: the data set.
        candidates: their interactions may be others.
    """
    asked, protocol = candidates.data, candidates.protocol
    distinct, place = np.unique(candidates.rows, return_inverse=True)
    order = np.argsort(place, kind="stable")
    start = distinct - asked.position[distinct]
    last = asked.histories(distinct, 1, protocol)[:, 0]
    lengths = np.where(last < 0, 0, last + 1 - start)
    counts = np.bincount(place, minlength=len(distinct))
    first = len(data) + np.cumsum(lengths + counts) - lengths - counts
    # Behind the data set come, for each distinct row, its history and then its candidates.
    whose = np.repeat(np.arange(len(distinct)), lengths + counts)
    position = np.arange(len(whose)) + len(data) - first[whose]
    history = position < lengths[whose]
    source = np.where(history, start[whose] + position, distinct[whose])
    items = asked.item_id[source]
    items[~history] = candidates.items[order]
    columns = {
        "user_id": asked.user_id[source],
        "item_id": items,
        "label": np.where(history, asked.label[source], 0),
        "timestamp": asked.timestamp[source],
        "position": position,
        "split": np.full(len(whose), SPLITS.index("test"), dtype=np.int8),
        "not_cold": asked.not_cold[source],
    }
    both = Interactions(**{
        name: np.concatenate([getattr(data, name), values]) for name, values in columns.items()
    })  # fmt: skip
    theirs = Own.of(data, protocol)
    begin = first[whose]
    end = begin + np.minimum(position, lengths[whose])
    own = Own(np.concatenate([theirs.start, begin]), np.concatenate([theirs.end, end]))
    counted = np.concatenate([data.split == 0, np.zeros(len(whose), dtype=bool)])
    matrix = features(both, len(data) + np.flatnonzero(~history), protocol, own, counted)[0]
    result = np.empty_like(matrix)
    result[order] = matrix
    return result

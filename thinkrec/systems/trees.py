"""The gbdt baseline as a system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, Gbdt, fit_gbdt
from thinkrec.baselines.past import Own
from thinkrec.config.sections import Params
from thinkrec.data.tables import SPLITS, HistoryMode, Interactions
from thinkrec.errors import ModelError
from thinkrec.files import read_json
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import System

Grow = Callable[[HistoryMode], Gbdt]


@dataclass
class Trees:
    """Trees over statistics of the past, of the seed of all stages and of further ones.

    Args:
        data: the data set, whose train rows say how others like an item.
        mode: of the histories that the trees were grown on.
        fitted: by seed, that of the stages first.
        grow: grows the first seed's trees on histories of another mode.
    """

    data: Interactions
    mode: HistoryMode
    fitted: dict[int, Gbdt]
    grow: Grow
    history_length: int | None = None

    def prepare(self) -> None:
        """Nothing is left to load."""

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user."""
        return "statistics of the history"

    def __post_init__(self) -> None:
        """Grow at most once a mode."""
        self.grow = lru_cache(self.grow)

    @classmethod
    def of(cls, project: Project) -> Trees:
        """Read the trees of a project.

        Raises:
            ModelError: they can't be read.
        """
        folder, params, data = project.layout.baselines, project.params, project.data
        try:
            mode = read_json(folder / "config.json")["history"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder} can't be read ({error}); run `thinkrec baselines` again") from error
        numbers = sorted(int(path.stem) for path in folder.glob("*.safetensors"))
        if params.seed not in numbers:
            raise ModelError(f"{folder} has no trees of seed {params.seed}; run `thinkrec baselines` again")
        order = [params.seed, *(number for number in numbers if number != params.seed)]
        fitted = {number: Gbdt.load(folder / f"{number}.safetensors") for number in order}
        return cls(data, mode, fitted, lambda other: grown(data, params, project.layout.dataset, other))

    def score(self, candidates: Candidates) -> np.ndarray:
        """Score candidates: logits, [n] float32.

        Trees grown on rolling histories are no match for train ones, nor the other way round: for another
        mode than theirs they are grown anew. What others say of an item comes from the data set's train rows.
        """
        own = candidates.handed_in or candidates.mode == self.mode
        fitted = next(iter(self.fitted.values())) if own else self.grow(candidates.mode)
        return fitted.score(_described(self.data, candidates)).astype(np.float32)

    def seeds(self) -> dict[int, System]:
        """The same grown with further seeds, by seed."""
        _, *others = self.fitted
        return {each: Trees(self.data, self.mode, {each: self.fitted[each]}, self.grow) for each in others}


def grown(data: Interactions, params: Params, dataset: str, mode: HistoryMode) -> Gbdt:
    """Grow trees as the stage `baselines` does with its first seed, on histories of a mode.

    Raises:
        DataError: train or valid has no row, or one class only.
        ConfigError: `train`, with a split whose train rows do not come first.
    """
    options = Boosting(**params.baselines.choice(params.tuned.get(dataset)).model_dump())
    return fit_gbdt(data, features(data, np.arange(len(data)), mode)[0], options, params.seed)


@lru_cache(maxsize=1)  # further seeds are asked the same
def _described(data: Interactions, candidates: Candidates) -> np.ndarray:
    """Features of candidates, [n, F] float32."""
    asked, rows = candidates.data, candidates.rows
    if not candidates.handed_in and np.array_equal(asked.item_id[rows], candidates.items):
        return features(asked, rows, candidates.mode)[0]
    return _beside(data if candidates.handed_in else asked, candidates)


def _beside(data: Interactions, candidates: Candidates) -> np.ndarray:
    """Features of candidates that are no rows of a data set: histories and candidates are laid out behind it.

    Nothing of them counts for others.

    Args:
        data: the data set.
        candidates: their interactions may be others.
    """
    asked, mode = candidates.data, candidates.mode
    distinct, place = np.unique(candidates.rows, return_inverse=True)
    order = np.argsort(place, kind="stable")
    start = distinct - asked.position[distinct]
    last = asked.histories(distinct, 1, mode)[:, 0]
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
    theirs = Own.of(data, mode)
    begin = first[whose]
    end = begin + np.minimum(position, lengths[whose])
    own = Own(np.concatenate([theirs.start, begin]), np.concatenate([theirs.end, end]))
    counted = np.concatenate([data.split == 0, np.zeros(len(whose), dtype=bool)])
    matrix = features(both, len(data) + np.flatnonzero(~history), mode, own, counted)[0]
    result = np.empty_like(matrix)
    result[order] = matrix
    return result

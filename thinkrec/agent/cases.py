"""Cases: a held-out item among sampled negatives, for one user at one moment; drawn once and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.config.agent import Subset
from thinkrec.data.tables import Interactions, Split
from thinkrec.errors import DataError, ModelError
from thinkrec.files import whole
from thinkrec.protocols import Protocol

NEVER = np.iinfo(np.int64).max
_COLUMNS = ["number", "user_id", "position", "timestamp", "items", "target", "subsets"]
_AGAIN = "run `thinkrec trajectories` again"


@dataclass(frozen=True)
class Case:
    """Candidates to rank for one user at one moment.

    Args:
        number: index among the cases of its split.
        split: valid (for training) or test.
        row: the held-out interaction.
        user: user id.
        moment: of the ranking (ns), the row's timestamp unless `under` says otherwise; nothing at or after it
            may be used.
        items: candidates in the order shown.
        target: index of the held-out item in `items`.
        subsets: that the case belongs to: all, dense, sparse.
    """

    number: int
    split: Split
    row: int
    user: int
    moment: int
    items: tuple[int, ...]
    target: int
    subsets: tuple[Subset, ...] = ("all",)

    @property
    def letters(self) -> str:
        """The candidates' letters in the order shown: A, B, C, ..."""
        return ascii_uppercase[: len(self.items)]

    def under(self, protocol: Protocol, data: Interactions) -> Case:
        """Return the case at the moment of a protocol; frozen: when the user's split begins."""
        return replace(self, moment=int(data.moments(protocol)[self.row]))

    def shuffled(self, seed: int) -> Case:
        """Return the case with its candidates in another order."""
        order = np.random.default_rng([seed, self.row]).permutation(len(self.items)).tolist()
        return replace(self, items=tuple(self.items[k] for k in order), target=order.index(self.target))


@dataclass(frozen=True)
class Drawn:
    """Cases, and the numbers of rows without one.

    Args:
        cases: in the order of their rows.
        early: rows before the end of train, which the encoders' vectors were trained on.
        unknown: rows whose item has no earlier interaction, so that no tool could tell anything about it.
        few: rows with too few items to sample negatives from.
        again: rows whose item is in the user's history, which negatives never are.
    """

    cases: list[Case]
    early: int
    unknown: int
    few: int
    again: int = 0


def first_interactions(data: Interactions, items: int) -> np.ndarray:
    """Return the moment of each item's first interaction, [items + 1] int64, NEVER if it has none."""
    first = np.full(items + 1, NEVER)
    np.minimum.at(first, data.item_id, data.timestamp)
    return first


def draw_cases(
    data: Interactions, items: int, rows: np.ndarray, split: Split, candidates: int, seed: int
) -> Drawn:
    """Sample the negatives of each row.

    They are drawn uniformly from the items that have an interaction before the user's split begins and none
    with the user at any time; the held-out item, too, must have an earlier interaction. So a case can be
    ranked under each protocol. Each row has its own random numbers, so that its candidates do not depend on
    other rows.

    Args:
        data: the interactions.
        items: highest item_id.
        rows: numbers of liked rows, [n], ascending.
        split: of the rows.
        candidates: items per case.
        seed: of the sampling.

    Source: leave-one-out with 9 sampled negatives: RecThinker; the population: our choice.
    """
    first = first_interactions(data, items)
    order = np.argsort(first, kind="stable")
    in_order = first[order]
    end = int(data.timestamp[data.rows("train")].max(initial=-1))
    begins = data.moments("frozen")
    cases: list[Case] = []
    early = unknown = few = again = 0
    for row in rows.tolist():
        user, moment, item = int(data.user_id[row]), int(begins[row]), int(data.item_id[row])
        if moment <= end:
            early += 1
            continue
        if first[item] >= moment:
            unknown += 1
            continue
        start = row - int(data.position[row])
        if item in data.item_id[start:row]:
            again += 1
            continue
        rated = np.unique(data.item_id[start : data.start[user + 1]])
        known = int(np.searchsorted(in_order, moment))
        free = known - int((first[rated] < moment).sum())
        if free < candidates - 1:
            few += 1
            continue
        rng = np.random.default_rng([seed, row])
        negatives = _negatives(rng, order[:known], rated, candidates - 1)
        place = int(rng.integers(candidates))
        shuffled = (*negatives[:place], item, *negatives[place:])
        cases.append(Case(len(cases), split, row, user, int(data.timestamp[row]), shuffled, place))
    return Drawn(cases, early, unknown, few, again)


def _negatives(rng: np.random.Generator, pool: np.ndarray, rated: np.ndarray, count: int) -> list[int]:
    """Draw distinct items of `pool` that are not in `rated` (sorted), in random order."""
    if len(pool) < 4 * (len(rated) + count):
        left = np.setdiff1d(pool, rated)
        return [int(item) for item in rng.choice(left, count, replace=False)]
    negatives: dict[int, None] = {}
    while len(negatives) < count:
        item = int(pool[rng.integers(len(pool))])
        if rated[min(int(np.searchsorted(rated, item)), len(rated) - 1)] != item:
            negatives[item] = None
    return list(negatives)


def last_likes(data: Interactions) -> np.ndarray:
    """Return the row number of each user's last like in test, [n]."""
    rows = data.rows("test")
    liked = rows[data.label[rows] == 1]
    last = np.append(np.diff(data.user_id[liked]) != 0, True) if len(liked) else np.zeros(0, bool)
    return liked[last]


def chosen_cases(cases: Sequence[Case], data: Interactions, most: int, users: int, seed: int) -> list[Case]:
    """Return the cases of the three subsets, renumbered; a case may belong to several.

    all: `most` random cases. dense, sparse: the cases of the `users` users with the most and with the fewest
    interactions before the moment, ties by user_id; with 0 users both are empty.

    Source: sizes of the subsets: RecThinker; the rules: our choice.
    """
    before = data.position[[case.row for case in cases]]
    user = np.array([case.user for case in cases])
    members: dict[Subset, set[int]] = {
        "all": set(np.random.default_rng(seed).permutation(len(cases))[:most].tolist()),
        "dense": set(np.lexsort((user, -before))[:users].tolist()),
        "sparse": set(np.lexsort((user, before))[:users].tolist()),
    }
    subsets = [tuple(name for name, places in members.items() if k in places) for k in range(len(cases))]
    kept = sorted((k for k in range(len(cases)) if subsets[k]), key=lambda k: cases[k].row)
    return [replace(cases[k], number=number, subsets=subsets[k]) for number, k in enumerate(kept)]


def save_cases(path: Path, cases: Sequence[Case], data: Interactions) -> None:
    """Write cases.parquet: split, number, user_id, position, timestamp, items, target, subsets."""
    table = pa.table({
        "split": pa.array([case.split for case in cases], pa.string()),
        "number": pa.array([case.number for case in cases], pa.int32()),
        "user_id": pa.array([case.user for case in cases], pa.int32()),
        "position": pa.array([int(data.position[case.row]) for case in cases], pa.int32()),
        "timestamp": pa.array([case.moment for case in cases], pa.int64()),
        "items": pa.array([list(case.items) for case in cases], pa.list_(pa.int32())),
        "target": pa.array([case.target for case in cases], pa.int32()),
        "subsets": pa.array([list(case.subsets) for case in cases], pa.list_(pa.string())),
    })  # fmt: skip
    with whole(path) as beside:
        pq.write_table(table, beside)


def load_cases(path: Path, data: Interactions, split: Split) -> list[Case]:
    """Read the cases of a split.

    Raises:
        DataError: there are none, or the file is damaged.
        ModelError: they were made from other interactions.
    """
    cases = []
    try:
        table = pq.read_table(path, columns=_COLUMNS, filters=[("split", "=", split)])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}): {_AGAIN}") from error
    rows = data.row_of(table["user_id"].to_numpy(), table["position"].to_numpy()).tolist()
    for line, row in zip(table.to_pylist(), rows, strict=True):
        user, items, target = line["user_id"], tuple(line["items"]), line["target"]
        if row < 0 or (data.item_id[row], data.timestamp[row]) != (items[target], line["timestamp"]):
            raise ModelError(f"{path} was made from other interactions: {_AGAIN}")
        subsets = tuple(line["subsets"])
        cases.append(Case(line["number"], split, row, user, line["timestamp"], items, target, subsets))
    if not cases:
        raise DataError(
            f"{path} has no case of {split}: this data set has too few likes after the end of train"
        )
    return cases

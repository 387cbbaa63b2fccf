"""Cases: one held-out item among drawn ones, for one user at one moment; drawn once and stored."""

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

NEVER = np.iinfo(np.int64).max
_COLUMNS = ["number", "user_id", "position", "timestamp", "items", "target", "subsets"]
_AGAIN = "run `thinkrec trajectories` again"


@dataclass(frozen=True)
class Case:
    """Ten items, or as many as are asked for, to be ranked for one user at one moment.

    Args:
        number: place among the cases of its split.
        split: valid (for training) or test.
        row: the held-out interaction.
        user: its user.
        moment: its timestamp (ns); nothing at or after it may be seen.
        items: candidates in the order in which they are shown.
        target: place of the held-out item in `items`.
        subsets: of the cases that it belongs to: all, dense, sparse.
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
        """How the candidates are called, in the order shown: A, B, C, ..."""
        return ascii_uppercase[: len(self.items)]

    def shuffled(self, seed: int) -> Case:
        """The same candidates in another order."""
        order = np.random.default_rng([seed, self.row]).permutation(len(self.items)).tolist()
        return replace(self, items=tuple(self.items[k] for k in order), target=order.index(self.target))


@dataclass(frozen=True)
class Drawn:
    """Cases, and how many rows gave none.

    Args:
        cases: in the order of their rows.
        early: rows whose moment lies before the end of train, from which the encoders' vectors learned.
        unknown: rows whose item nobody met before, so that no tool could say anything of it.
        few: rows with too few items to draw from.
        again: rows whose item the user had met before, which drawn items never are.
    """

    cases: list[Case]
    early: int
    unknown: int
    few: int
    again: int = 0


def first_met(data: Interactions, items: int) -> np.ndarray:
    """Moment at which each item was first met by anybody, [items + 1] int64; NEVER where it was not."""
    first = np.full(items + 1, NEVER)
    np.minimum.at(first, data.item_id, data.timestamp)
    return first


def draw_cases(
    data: Interactions, items: int, rows: np.ndarray, split: Split, candidates: int, seed: int
) -> Drawn:
    """Draw the other candidates of each of `rows`, which are likes.

    They are drawn evenly from the items that somebody met before the row's moment and that the user never
    meets at all; the held-out item, too, must have been met before by somebody. Each row has random numbers
    of its own, so that other rows do not change its candidates.

    Args:
        data: the interactions.
        items: highest item_id.
        rows: row numbers, [n], ascending.
        split: of the rows.
        candidates: items of a case.
        seed: of the draws.

    Source: leave-one-out with 9 drawn negatives: RecThinker; from which items: our choice.
    """
    first = first_met(data, items)
    order = np.argsort(first, kind="stable")
    in_order = first[order]
    end = int(data.timestamp[data.rows("train")].max(initial=-1))
    cases: list[Case] = []
    early = unknown = few = again = 0
    for row in rows.tolist():
        user, moment, item = int(data.user_id[row]), int(data.timestamp[row]), int(data.item_id[row])
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
        met = np.unique(data.item_id[start : data.start[user + 1]])
        known = int(np.searchsorted(in_order, moment))
        free = known - int((first[met] < moment).sum())
        if free < candidates - 1:
            few += 1
            continue
        rng = np.random.default_rng([seed, row])
        others = _drawn(rng, order[:known], met, candidates - 1)
        place = int(rng.integers(candidates))
        shown = (*others[:place], item, *others[place:])
        cases.append(Case(len(cases), split, row, user, moment, shown, place))
    return Drawn(cases, early, unknown, few, again)


def _drawn(rng: np.random.Generator, pool: np.ndarray, met: np.ndarray, count: int) -> list[int]:
    """Distinct items of `pool` outside of `met`, in random order."""
    if len(pool) < 4 * (len(met) + count):
        left = np.setdiff1d(pool, met)
        return [int(item) for item in rng.choice(left, count, replace=False)]
    found: dict[int, None] = {}
    while len(found) < count:
        item = int(pool[rng.integers(len(pool))])
        if met[min(int(np.searchsorted(met, item)), len(met) - 1)] != item:
            found[item] = None
    return list(found)


def last_likes(data: Interactions) -> np.ndarray:
    """Each user's last like in test, [n] row numbers."""
    rows = data.rows("test")
    liked = rows[data.label[rows] == 1]
    last = np.append(np.diff(data.user_id[liked]) != 0, True) if len(liked) else np.zeros(0, bool)
    return liked[last]


def chosen_cases(cases: Sequence[Case], data: Interactions, most: int, users: int, seed: int) -> list[Case]:
    """Cases of the subsets, numbered anew; a case may belong to several.

    all: `most` cases drawn at random. dense, sparse: those of the `users` users with most and with fewest
    interactions before the moment; equal counts: the lower user_id first. 0 users: neither.

    Source: sizes of the subsets: RecThinker; the rules: our choice.
    """
    before = data.position[[case.row for case in cases]]
    user = np.array([case.user for case in cases])
    members: dict[Subset, set[int]] = {
        "all": set(np.random.default_rng(seed).permutation(len(cases))[:most].tolist()),
        "dense": set(np.lexsort((user, -before))[:users].tolist()),
        "sparse": set(np.lexsort((user, before))[:users].tolist()),
    }
    of = [tuple(name for name, places in members.items() if k in places) for k in range(len(cases))]
    kept = sorted((k for k in range(len(cases)) if of[k]), key=lambda k: cases[k].row)
    return [replace(cases[k], number=number, subsets=of[k]) for number, k in enumerate(kept)]


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
        ModelError: they are of other interactions.
    """
    cases = []
    try:
        table = pq.read_table(path, columns=_COLUMNS, filters=[("split", "=", split)])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}): {_AGAIN}") from error
    rows = data.row_of(table["user_id"].to_numpy(), table["position"].to_numpy()).tolist()
    for said, row in zip(table.to_pylist(), rows, strict=True):
        user, items, target = said["user_id"], tuple(said["items"]), said["target"]
        if row < 0 or (data.item_id[row], data.timestamp[row]) != (items[target], said["timestamp"]):
            raise ModelError(f"{path} was made of other interactions: {_AGAIN}")
        subsets = tuple(said["subsets"])
        cases.append(Case(said["number"], split, row, user, said["timestamp"], items, target, subsets))
    if not cases:
        raise DataError(
            f"{path} holds no case of {split}: this data set has too few likes after the end of train"
        )
    return cases

"""Data made by hand whose right answer is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from thinkrec.data.tables import Interactions

USERS, ITEMS, TRAIN, ROWS = 60, 40, 20, 30


def interactions(user: np.ndarray, item: np.ndarray, label: np.ndarray, split: np.ndarray) -> Interactions:
    """Rows sorted by user, each user's in the order of time."""
    start = np.flatnonzero(np.diff(user, prepend=-1))
    position = np.arange(len(user)) - np.repeat(start, np.diff(np.append(start, len(user))))
    train = split == 0
    not_cold = np.isin(user, user[train]) & np.isin(item, item[train])
    return Interactions(user, item, label, position * 60, position, split.astype(np.int8), not_cold)


def _checkerboard() -> Interactions:
    """Users like items of their own parity, and meet them four times in five, so that histories tell, too."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, USERS + 1), ROWS)
    alike = rng.random(len(user)) < 0.8
    item = 2 * rng.integers(1, ITEMS // 2 + 1, len(user)) - np.where(alike, user % 2, 1 - user % 2)
    split = np.tile(np.repeat([0, 1, 2], [TRAIN, 5, 5]), USERS)
    return interactions(user, item, (user % 2 == item % 2).astype(np.int64), split)


@pytest.fixture(scope="session")
def board() -> Interactions:
    """60 users with 30 rows each (20 train, 5 valid, 5 test) over 40 items; like = same parity."""
    return _checkerboard()


@pytest.fixture(scope="session")
def strangers(board: Interactions) -> Interactions:
    """The checkerboard with user 61, in test only, twice, and item 41, met by user 1 at the end of test."""
    user = np.concatenate([board.user_id[:ROWS], [1], board.user_id[ROWS:], [USERS + 1] * 2])
    item = np.concatenate([board.item_id[:ROWS], [ITEMS + 1], board.item_id[ROWS:], [3, 3]])
    label = np.concatenate([board.label[:ROWS], [1], board.label[ROWS:], [1, 1]])
    split = np.concatenate([board.split[:ROWS], [2], board.split[ROWS:], [2, 2]])
    return interactions(user, item, label, split)


@pytest.fixture(scope="session")
def spoiled() -> Callable[[Interactions, np.ndarray], Interactions]:
    """A function: the same data with other items and turned labels in these rows."""

    def change(data: Interactions, rows: np.ndarray) -> Interactions:
        item, label = data.item_id.copy(), data.label.copy()
        item[rows] = item[rows] % ITEMS + 1
        label[rows] = 1 - label[rows]
        return replace(data, item_id=item, label=label)

    return change

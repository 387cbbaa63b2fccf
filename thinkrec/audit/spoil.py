"""Copies of the interactions with a spoiled future: an output that changes with it depends on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from thinkrec.data.moments import DAY
from thinkrec.data.tables import SPLITS, Interactions, Split

_SHIFT = DAY  # the same for all rows, so that their order is kept


def held_out(data: Interactions, splits: Sequence[Split] = ("valid", "test")) -> np.ndarray:
    """Mask the rows of these splits, [N] bool."""
    return np.isin(data.split, [SPLITS.index(split) for split in splits])


def spoiled(data: Interactions, wrong: np.ndarray, targets: np.ndarray | None = None) -> Interactions:
    """Flip labels, replace items and shift timestamps.

    Users, positions and splits stay, so that row numbers remain valid.

    Args:
        data: the interactions, which are not changed.
        wrong: [N] bool, rows to spoil.
        targets: row numbers of which only the label is flipped, as their item is an input.
    """
    replaced = wrong.copy()
    if targets is not None:
        replaced[targets] = False
    items = int(data.item_id.max(initial=1))
    # Always another item, if there are two: a shift of 1 .. items - 1 modulo items.
    step = 1 + np.arange(len(data)) * 7919 % max(items - 1, 1)
    return replace(
        data,
        item_id=np.where(replaced, (data.item_id - 1 + step) % items + 1, data.item_id),
        label=np.where(wrong, 1 - data.label, data.label),
        timestamp=np.where(replaced, data.timestamp + _SHIFT, data.timestamp),
    )


def spoiled_after(data: Interactions, rows: np.ndarray, also: np.ndarray | None = None) -> Interactions:
    """Spoil the labels of rows and all later rows of their users.

    Args:
        data: the interactions.
        rows: row numbers, at most one per user.
        also: [N] bool, further rows to spoil.
    """
    end = np.full(data.users + 1, len(data) + 1, dtype=np.int64)
    end[data.user_id[rows]] = rows
    wrong = np.arange(len(data)) >= end[data.user_id]
    return spoiled(data, wrong if also is None else wrong | also, rows)


def one_per_user(data: Interactions, rows: np.ndarray, seed: int) -> np.ndarray:
    """Draw one of these rows per user; ascending."""
    drawn = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(data.user_id[drawn], return_index=True)
    return np.sort(drawn[first])


def blind_test(data: Interactions, seed: int) -> tuple[np.ndarray, Interactions]:
    """Draw one test row of each of half the users, and spoil their future.

    The rows' labels and all their users' later rows are spoiled, and all test rows of the other users.

    Returns:
        Row numbers, ascending, and the spoiled interactions.
    """
    rows = one_per_user(data, data.rows("test"), seed)
    rows = rows[np.random.default_rng(seed).permutation(len(rows)) < (len(rows) + 1) // 2]
    others = np.isin(data.user_id, data.user_id[rows], invert=True)
    return rows, spoiled_after(data, rows, others & held_out(data, ("test",)))


def rounds(users: np.ndarray) -> Iterator[np.ndarray]:
    """Partition the indices of [n] user ids into rounds with each user at most once."""
    order = np.argsort(users, kind="stable")
    turn = np.arange(len(users)) - np.searchsorted(users[order], users[order])
    for number in range(int(turn.max(initial=-1)) + 1):
        yield order[turn == number]

"""Copies of the interactions whose future says something else: what changes with it has looked at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from thinkrec.data.moments import DAY
from thinkrec.data.tables import SPLITS, Interactions, Split

_LATER = DAY  # all of a user's later rows move alike, so that their order stays


def held_out(data: Interactions, splits: Sequence[Split] = ("valid", "test")) -> np.ndarray:
    """Mask of the rows of these splits, [N] bool."""
    return np.isin(data.split, [SPLITS.index(split) for split in splits])


def spoiled(data: Interactions, wrong: np.ndarray, targets: np.ndarray | None = None) -> Interactions:
    """Turn labels, exchange items and move moments.

    Users, positions and splits stay, so that row numbers keep their meaning.

    Args:
        data: the interactions, which are not changed.
        wrong: [N] bool, rows to spoil.
        targets: row numbers of which only the label is turned: their item is what is asked about.
    """
    other = wrong.copy()
    if targets is not None:
        other[targets] = False
    items = int(data.item_id.max(initial=1))
    # Another item each time, wherever there are two: a step of 1 .. items - 1 along the circle of ids.
    step = 1 + np.arange(len(data)) * 7919 % max(items - 1, 1)
    return replace(
        data,
        item_id=np.where(other, (data.item_id - 1 + step) % items + 1, data.item_id),
        label=np.where(wrong, 1 - data.label, data.label),
        timestamp=np.where(other, data.timestamp + _LATER, data.timestamp),
    )


def spoiled_after(data: Interactions, rows: np.ndarray, also: np.ndarray | None = None) -> Interactions:
    """Spoil these rows' labels and everything that comes after them in their users' time lines.

    Args:
        data: the interactions.
        rows: row numbers, at most one of each user.
        also: [N] bool, further rows to spoil.
    """
    end = np.full(data.users + 1, len(data) + 1, dtype=np.int64)
    end[data.user_id[rows]] = rows
    wrong = np.arange(len(data)) >= end[data.user_id]
    return spoiled(data, wrong if also is None else wrong | also, rows)


def one_each(data: Interactions, rows: np.ndarray, seed: int) -> np.ndarray:
    """One of these rows of each user, drawn by `seed`; ascending."""
    drawn = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(data.user_id[drawn], return_index=True)
    return np.sort(drawn[first])


def blind_test(data: Interactions, seed: int) -> tuple[np.ndarray, Interactions]:
    """One test row of each of half the users, and interactions that hide what comes after these rows.

    Their labels and all that follows them are spoiled, and so are all test rows of the other users.

    Returns:
        Row numbers, ascending, and the spoiled interactions.
    """
    rows = one_each(data, data.rows("test"), seed)
    rows = rows[np.random.default_rng(seed).permutation(len(rows)) < (len(rows) + 1) // 2]
    others = np.isin(data.user_id, data.user_id[rows], invert=True)
    return rows, spoiled_after(data, rows, others & held_out(data, ("test",)))


def rounds(users: np.ndarray) -> Iterator[np.ndarray]:
    """Places of [n] user ids in rounds, each of which holds a user at most once; all places together."""
    order = np.argsort(users, kind="stable")
    turn = np.arange(len(users)) - np.searchsorted(users[order], users[order])
    for number in range(int(turn.max(initial=-1)) + 1):
        yield order[turn == number]

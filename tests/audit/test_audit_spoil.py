"""What is spoiled is exactly the future, and all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tamper import made

from thinkrec.audit.spoil import held_out, one_per_user, rounds, spoiled, spoiled_after
from thinkrec.data.tables import Interactions

FIELDS = ("item_id", "label", "timestamp")


@st.composite
def tables(draw: st.DrawFn) -> Interactions:
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    count = sum(lengths)
    return made(
        user_id=np.repeat(np.arange(1, len(lengths) + 1), lengths),
        item_id=rng.integers(1, draw(st.integers(2, 30)) + 1, count),
        label=rng.integers(0, 2, count),
        timestamp=np.concatenate([np.sort(rng.integers(0, 50, length)) for length in lengths]),
        split=np.concatenate([np.sort(rng.integers(0, 3, length)) for length in lengths]),
    )


@settings(deadline=None)
@given(tables(), st.integers(0, 99))
def test_only_the_future_changes_and_all_of_it(data: Interactions, seed: int) -> None:
    rows = one_per_user(data, np.arange(len(data)), seed)[::2]
    wrong = spoiled_after(data, rows)
    end = {int(data.user_id[row]): int(row) for row in rows}
    items = len(np.unique(data.item_id))
    for row in range(len(data)):
        cut = end.get(int(data.user_id[row]), len(data))
        assert (wrong.label[row] != data.label[row]) == (row >= cut)
        assert (wrong.timestamp[row] != data.timestamp[row]) == (row > cut)
        if items > 1 and data.item_id.max() > 1:
            assert (wrong.item_id[row] != data.item_id[row]) == (row > cut)
    assert wrong.item_id.min() >= 1 and wrong.item_id.max() <= data.item_id.max()
    for name in ("user_id", "position", "split"):
        assert np.array_equal(getattr(wrong, name), getattr(data, name))


@settings(deadline=None)
@given(tables())
def test_held_out_rows_are_spoiled_whole(data: Interactions) -> None:
    late = held_out(data)
    assert np.array_equal(late, data.split > 0)
    wrong = spoiled(data, late)
    for name in FIELDS:
        assert np.array_equal(getattr(wrong, name)[~late], getattr(data, name)[~late])
    assert (wrong.label[late] != data.label[late]).all()
    assert np.array_equal(held_out(data, ("test",)), data.split == 2)


@settings(deadline=None)
@given(tables(), st.integers(0, 99))
def test_one_row_of_each_user(data: Interactions, seed: int) -> None:
    rows = one_per_user(data, data.rows("train"), seed)
    assert np.array_equal(data.user_id[rows], np.unique(data.user_id[data.rows("train")]))
    assert (data.split[rows] == 0).all()
    assert np.array_equal(rows, one_per_user(data, data.rows("train"), seed))


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), max_size=30))
def test_rounds_hold_a_user_once_and_together_all(users: list[int]) -> None:
    array = np.array(users, dtype=np.int64)
    parts = list(rounds(array))
    assert sorted(np.concatenate([np.empty(0, int), *parts]).tolist()) == list(range(len(users)))
    assert all(len(np.unique(array[part])) == len(part) for part in parts)
    assert len(parts) == max((users.count(user) for user in users), default=0)


def test_also_spoils_other_rows(data: Interactions) -> None:
    also = data.user_id == 3
    wrong = spoiled_after(data, np.array([4]), also)
    changed = np.flatnonzero(wrong.label != data.label)
    assert changed.tolist() == [4, 10, 11, 12, 13, 14]
    assert wrong.item_id[4] == data.item_id[4]


@pytest.mark.parametrize("items", [1, 2])
def test_few_items(items: int) -> None:
    ids = np.arange(4) % items + 1
    data = made(np.ones(4, int), ids, np.zeros(4, int), np.arange(4), np.array([0, 0, 1, 2]))
    wrong = spoiled(data, held_out(data))
    assert (wrong.item_id[2:] != ids[2:]).all() == (items == 2)

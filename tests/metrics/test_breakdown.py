"""The further slices: made by hand, and no row lost."""

from dataclasses import replace

import numpy as np
import pytest

from thinkrec.data.tables import Interactions
from thinkrec.metrics.breakdown import HISTORY, Breakdown, head_items
from thinkrec.metrics.predictions import Predictions

SETS = (
    ("warm", "cold_user", "cold_item", "cold_both"),
    ("head", "tail"),
    ("history_0-4", "history_5-9", "history_10-24", "history_25-99", "history_100+"),
    ("group_1", "group_2", "group_none"),
)


def of_test(data: Interactions) -> Predictions:
    return Predictions.of(data, data.rows("test"), np.zeros(len(data.rows("test"))), "a")


@pytest.fixture
def by_hand() -> Interactions:
    # User 1 and items 1, 2 are in train; user 2 and item 3 are not.
    user, item = np.array([1, 1, 1, 1, 2, 2]), np.array([1, 1, 2, 3, 2, 3])
    split = np.array([0, 0, 0, 2, 2, 2], dtype=np.int8)
    warm = np.array([True, True, True, False, False, False])
    position = np.array([0, 1, 2, 3, 0, 1])
    return Interactions(user, item, np.zeros(6, dtype=np.int64), position, position, split, warm)


def test_cold_kinds_by_hand(by_hand):
    breakdown, own = Breakdown.of(by_hand), of_test(by_hand)
    found = {name: breakdown.slice(own, f"test/{name}").tolist() for name in SETS[0]}
    assert found == {
        "warm": [False, False, False],
        "cold_user": [False, True, False],
        "cold_item": [True, False, False],
        "cold_both": [False, False, True],
    }
    assert breakdown.names("test")[:3] == ["test/cold_user", "test/cold_item", "test/cold_both"]
    assert breakdown.names("valid") == []


@pytest.mark.parametrize(
    "rows, head",
    [
        ([0, 80, 10, 10], [1]),
        ([0, 50, 30, 20], [1, 2]),
        ([0, 50, 29, 21], [1, 2, 3]),
        ([0, 40, 20, 20, 20], [1, 2, 3, 4]),  # the last three are met as often
        ([0, 5, 0], [1]),
        ([0, 0], []),
    ],
)
def test_head_holds_four_fifths_of_the_rows(rows, head):
    assert np.flatnonzero(head_items(np.array(rows))).tolist() == head


def test_every_set_of_slices_holds_each_row_once(data):
    group = np.random.default_rng(0).integers(0, 3, data.users + 1)
    breakdown, own = Breakdown.of(data, group), of_test(data)
    for names in SETS:
        times = sum(breakdown.slice(own, f"test/{name}").astype(int) for name in names)
        assert np.array_equal(times, np.ones(len(own.score))), names
    known = {"test/history_2+", *(f"test/{name}" for names in SETS for name in names)}
    assert set(breakdown.names("test")) <= known


def test_history_is_what_lies_before_the_row(data):
    breakdown, own = Breakdown.of(data), of_test(data)
    for first, name in zip(HISTORY, SETS[2], strict=True):
        position = own.position[breakdown.slice(own, f"test/{name}")]
        assert (position >= first).all()
    assert not breakdown.slice(own, "test/history_0-4")[own.position >= 5].any()


def test_users_of_fewer_than_two_interactions_are_left_out_of_history_2(by_hand):
    """A row's own moment decides: of user 2's test rows, the first two ever are not in."""
    user, position = np.array([1, 1, 1, 2, 2, 2]), np.array([0, 1, 2, 0, 1, 2])
    data = replace(by_hand, user_id=user, position=position, split=np.array([0, 2, 2, 2, 2, 2], np.int8))
    found = Breakdown.of(data).slice(of_test(data), "test/history_2+")
    assert found.tolist() == [False, True, False, False, True]
    assert "test/history_2+" in Breakdown.of(data).names("test")
    none = replace(data, split=np.array([0, 2, 0, 2, 2, 0], np.int8))
    assert "test/history_2+" not in Breakdown.of(none).names("test")


def test_groups_follow_the_user(data):
    group = np.where(np.arange(data.users + 1) % 2, 1, 0)
    breakdown, own = Breakdown.of(data, group), of_test(data)
    assert np.array_equal(breakdown.slice(own, "test/group_1"), own.user_id % 2 == 1)
    assert "test/group_1" not in Breakdown.of(data).names("test")


def test_labels_and_test_rows_decide_no_slice(data):
    """Guarantee 1: slices are made from train's rows and the user's own time line."""
    later = data.rows("test")
    item = data.item_id.copy()
    item[later] = np.roll(item[later], 1)
    changed = replace(data, label=1 - data.label, item_id=item)
    one, other = Breakdown.of(data), Breakdown.of(changed)
    kept = np.setdiff1d(np.arange(len(data)), later)
    for name, mask in one.masks.items():
        assert np.array_equal(mask[kept], other.masks[name][kept]), name

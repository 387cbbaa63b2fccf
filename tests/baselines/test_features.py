"""Features of gbdt: equal to a plain reference, and blind to all that has not happened yet."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from features_by_hand import ByHand, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkrec.baselines import neighbours, past
from thinkrec.baselines.features import features
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError
from thinkrec.protocols import Protocol

PROTOCOLS: tuple[Protocol, ...] = ("rolling", "train")


def table(data: Interactions, protocol: Protocol = "rolling") -> np.ndarray:
    return features(data, np.arange(len(data)), protocol)[0]


def assert_same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def spoil(data: Interactions, mask: np.ndarray, labels_only: bool = False) -> Interactions:
    """Turned labels and, unless told otherwise, other items in the rows of a mask."""
    item = data.item_id if labels_only else np.where(mask, data.item_id % 5 + 1, data.item_id)
    return replace(data, item_id=item, label=np.where(mask, 1 - data.label, data.label))


@pytest.mark.parametrize(
    ("seed", "protocol", "width"),
    [(*each, 100) for each in product(range(3), PROTOCOLS)] + [(3, "rolling", 2)],
)
def test_equals_the_plain_reference(
    seed: int, protocol: Protocol, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WIDTH", width)
    data = random_interactions(seed)
    matrix, names = features(data, np.arange(len(data)), protocol)
    hand = ByHand(data, protocol, width)
    for row in range(len(data)):
        expected = hand.features(row)
        assert sorted(expected) == sorted(names)
        np.testing.assert_allclose(
            matrix[row],
            [expected[name] for name in names],
            rtol=1e-4,
            atol=1e-5,
            err_msg=f"row {row}, {names}",
        )


def test_equals_the_plain_reference_under_a_split_by_chance() -> None:
    data = random_interactions(9, chance=True)
    matrix, names = features(data, np.arange(len(data)))
    hand = ByHand(data, "rolling", 100)
    for row in range(len(data)):
        expected = hand.own(row) | hand.of_item(row) | hand.taste(row)
        found = dict(zip(names, matrix[row], strict=True))
        assert {name: found[name] for name in expected} == pytest.approx(
            expected, rel=1e-4, abs=1e-5, nan_ok=True
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(PROTOCOLS), st.integers(0, 59))
def test_nothing_at_or_after_the_moment_is_used(seed: int, protocol: Protocol, row: int) -> None:
    """All that is later, or simultaneous and not an earlier row of the user, and the row's own label."""
    data = random_interactions(seed)
    own_before = (data.user_id == data.user_id[row]) & (np.arange(len(data)) < row)
    late = (data.timestamp >= data.timestamp[row]) & ~own_before
    late[row] = False
    changed = spoil(data, late)
    changed.label[row] = 1 - changed.label[row]
    assert_same(table(data, protocol)[row], table(changed, protocol)[row])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_held_out_labels_reach_their_own_user_only(seed: int, chance: bool) -> None:
    data = random_interactions(seed, chance=chance)
    held = (data.split > 0) & (data.user_id == 3)
    before, after = table(data), table(spoil(data, held, labels_only=True))
    others = data.user_id != 3
    assert_same(before[others], after[others])


def test_rolling_reads_the_users_held_out_labels_and_frozen_does_not() -> None:
    data = random_interactions(1)
    held = data.split > 0
    changed = spoil(data, held)
    item_of = changed.item_id.copy()
    row = np.flatnonzero(held & (data.position > 0) & held[np.arange(len(data)) - 1])[-1]
    item_of[row] = data.item_id[row]
    changed = replace(changed, item_id=item_of)
    assert_same(table(data, "train")[row], table(changed, "train")[row])
    assert np.nanmax(np.abs(table(data)[row] - table(changed)[row])) > 0.1


def test_frozen_rows_of_a_user_differ_by_their_items_alone() -> None:
    """They share history and moment, and no label of their own split is read."""
    data = random_interactions(1)
    held = data.split == 2
    frozen = table(data, "frozen")
    assert_same(frozen[held], table(spoil(data, held, labels_only=True), "frozen")[held])
    same_item = replace(data, item_id=np.where(held, data.item_id[0], data.item_id))
    alike = table(same_item, "frozen")
    for user in np.unique(data.user_id[held]):
        rows = np.flatnonzero(held & (data.user_id == user))
        assert_same(alike[rows], np.repeat(alike[rows[:1]], len(rows), axis=0))
    valid = data.split == 1
    assert np.nanmax(np.abs(frozen[held] - table(data, "train")[held])) > 0.1 or not valid.any()


def test_earlier_labels_of_others_count() -> None:
    """The leak tests could not fail if nothing were read at all."""
    data = random_interactions(2)
    row = np.flatnonzero(data.split == 2)[-1]
    others = (data.split == 0) & (data.user_id != data.user_id[row])
    before, after = table(data)[row], table(spoil(data, others, labels_only=True))[row]
    names = features(data, np.array([row]))[1]
    for name in ("item_share", "item_quality", "verdict", "agreement"):
        assert abs(before[names.index(name)] - after[names.index(name)]) > 1e-3, name


def test_frozen_needs_train_rows_first() -> None:
    with pytest.raises(
        ConfigError, match=r"^the protocols frozen and train need splits that follow each other"
    ):
        table(random_interactions(0, chance=True), "train")


def test_rows_are_taken_in_the_order_asked() -> None:
    data = random_interactions(4)
    rows = np.array([50, 3, 3, 17])
    matrix, names = features(data, rows)
    assert matrix.dtype == np.float32 and matrix.shape == (4, len(names)) and len(set(names)) == len(names)
    np.testing.assert_array_equal(matrix, table(data)[rows])
    assert features(data, rows[:0])[0].shape == (0, len(names))


def test_pairs_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random_interactions(5)
    whole = table(data)
    monkeypatch.setattr(neighbours, "_PART", 40)
    assert_same(whole, table(data))


def test_keys_too_large_for_one_number_sort_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random_interactions(6)
    plain = table(data)
    monkeypatch.setattr(past, "_LARGEST", 1)
    assert_same(plain, table(data))


def test_no_history_and_unknown_item() -> None:
    data = random_interactions(7)
    stranger = np.flatnonzero(data.split == 2)[-1]
    item = data.item_id.copy()
    item[stranger] = 77
    matrix, names = features(replace(data, item_id=item), np.arange(len(data)))
    row = dict(zip(names, matrix[stranger], strict=True))
    assert np.isnan(row["item_age"]) and row["item_rows"] == row["item_quality"] == row["shared"] == 0
    first = dict(zip(names, matrix[0], strict=True))
    assert all(np.isnan(first[name]) for name in ("pause", "tenure", "liked_1", "quality_3"))
    assert first["history_rows"] == first["agreement"] == first["quality_beyond"] == 0
    assert np.isfinite(first["share_all"])


def test_one_user_one_row_each_and_none() -> None:
    data = random_interactions(8)
    alone = Interactions(
        *(value[data.user_id == 1] for value in vars(data).values() if isinstance(value, np.ndarray))
    )
    assert np.isfinite(table(alone)[-1][0])
    single = Interactions(
        *(value[data.position == 0] for value in vars(data).values() if isinstance(value, np.ndarray))
    )
    assert table(single).shape[0] == len(single)
    empty = Interactions(*(value[:0] for value in vars(data).values() if isinstance(value, np.ndarray)))
    assert table(empty).shape[0] == 0

"""A row is found by its user and its position, whoever asks; rows that share a history are known."""

from __future__ import annotations

import numpy as np
import pytest

from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError
from thinkrec.protocols import PROTOCOLS, Protocol

USER, POSITION = np.array([1, 1, 3, 3, 3]), np.array([0, 1, 0, 1, 2])


def interactions(user: np.ndarray, position: np.ndarray) -> Interactions:
    zeros = np.zeros(len(user), dtype=np.int64)
    return Interactions(user, zeros, zeros, zeros, position, zeros.astype(np.int8), zeros == 0)


def test_rows_are_found_in_any_order() -> None:
    data = interactions(USER, POSITION)
    assert data.start.tolist() == [0, 0, 2, 2, 5]
    assert data.row_of(USER[::-1], POSITION[::-1]).tolist() == [4, 3, 2, 1, 0]
    assert data.row_of([3, 1], [0, 0]).tolist() == [2, 0]
    assert data.row_of([], []).tolist() == []


@pytest.mark.parametrize(
    ("user", "position"), [(1, 2), (1, -1), (2, 0), (3, 3), (3, -1), (0, 0), (-1, 0), (4, 0), (10**9, -1)]
)
def test_a_row_that_is_not_there_is_minus_one(user: int, position: int) -> None:
    assert interactions(USER, POSITION).row_of([user], [position]).tolist() == [-1]
    assert interactions(USER[:0], POSITION[:0]).row_of([user], [position]).tolist() == [-1]


def test_rows_that_share_a_history_are_asked_as_one() -> None:
    split = np.array([0, 1, 0, 1, 2, 0, 0, 1, 1, 2, 2, 2], dtype=np.int8)
    user = np.array([1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3])
    position = np.array([0, 1, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6])
    zeros = np.zeros(len(user), dtype=np.int64)
    data = Interactions(user, zeros, zeros, zeros, position, split, zeros == 0)
    rows = np.array([11, 8, 9, 7, 3, 4, 10, 6, 5, 9])
    assert data.asked(rows, "frozen").tolist() == [9, 7, 9, 7, 3, 4, 9, 6, 5, 9]
    assert data.asked(rows, "rolling").tolist() == rows.tolist()
    for protocol in PROTOCOLS:
        alike = data.histories(data.asked(rows, protocol), 9, protocol)
        np.testing.assert_array_equal(alike, data.histories(rows, 9, protocol))


@pytest.mark.parametrize("protocol", ["frozen", "train"])
def test_a_random_split_under_other_than_rolling_histories_names_the_keys_to_set(protocol: Protocol) -> None:
    zeros = np.zeros(3, dtype=np.int64)
    split = np.array([0, 2, 0], dtype=np.int8)
    data = Interactions(zeros + 1, zeros, zeros, zeros, np.arange(3), split, zeros == 0)
    assert data.histories(np.array([2]), 2, "rolling").tolist() == [[0, 1]]
    with pytest.raises(ConfigError) as caught:
        data.histories(np.array([2]), 2, protocol)
    assert str(caught.value) == (
        "the protocols frozen and train need splits that follow each other in each user's sequence; this "
        "data set was split at random: set `choose_by: rolling` and `evaluate.protocols: [rolling]` in "
        "params.yaml, or choose another split.rule"
    )

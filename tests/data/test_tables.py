"""A row is found by its user and its position, whoever asks."""

from __future__ import annotations

import numpy as np
import pytest

from thinkrec.data.tables import Interactions

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

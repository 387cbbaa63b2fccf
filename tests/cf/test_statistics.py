"""Statistics of items and users' pasts, against slow loops that say what they mean."""

import math
from dataclasses import replace

import numpy as np
import pytest

from thinkrec.cf import statistics
from thinkrec.cf.examples import Known
from thinkrec.data.tables import Interactions


def counts_of(data: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = Known.of(data, int(data.user_id.max()), int(data.item_id.max()))
    return known.item_index.numpy()[data.item_id], known.counts.numpy(), known.folds.numpy()


def test_mean_logit_is_that_of_train(board: Interactions) -> None:
    known = Known.of(board, 60, 40)
    assert statistics.mean_logit(known.counts.numpy()) == pytest.approx(float(known.mean), abs=1e-6)


def test_item_features_of_a_train_row_leave_out_its_tenth_of_users(board: Interactions) -> None:
    item, counts, folds = counts_of(board)
    mean = statistics.mean_logit(counts)
    found = statistics.row_features(board, item, counts, folds)
    share = 1 / (1 + math.exp(-mean))
    for row in (0, 7, 25, 29, 301, 1799):
        rows = board.rows("train")
        rows = rows[board.item_id[rows] == board.item_id[row]]
        if board.split[row] == 0:
            rows = rows[board.user_id[rows] % 10 != board.user_id[row] % 10]
        smoothed = (board.label[rows].sum() + 5 * share) / (len(rows) + 5)
        odds = math.log(smoothed / (1 - smoothed)) - mean
        assert found[row] == pytest.approx([odds, math.log1p(len(rows)) / 2], abs=1e-5)


def test_features_do_not_know_what_they_are_to_predict(board: Interactions) -> None:
    """A user's own labels are in no feature of the user's train rows; those of valid and test in none."""
    item, counts, folds = counts_of(board)
    before = statistics.row_features(board, item, counts, folds)
    label = board.label.copy()
    label[(board.user_id == 5) | (board.split > 0)] ^= 1
    turned = replace(board, label=label)
    after = statistics.row_features(turned, *counts_of(turned))
    own = (board.user_id == 5) & (board.split == 0)
    odds = after[own, 0] - before[own, 0]
    # The mean of all train rows moves by one user in sixty; nothing else may.
    assert np.ptp(odds) < 0.01
    other = (board.user_id == 6) & (board.split == 0)
    assert np.abs(after[other, 0] - before[other, 0]).max() > 0.1


def test_unknown_item_and_empty_past_are_zero() -> None:
    assert not statistics.item_features(np.zeros(1), np.zeros(1), 0.3).any()
    assert not statistics.user_features(np.ones(3), np.array([2]), np.array([2]), 5).any()


def test_user_features_by_hand(board: Interactions) -> None:
    rng = np.random.default_rng(1)
    residual = rng.normal(size=len(board))
    start = statistics.first_rows(board.user_id)
    found = statistics.user_features(residual, start, np.arange(len(board)), 4)
    for row in (0, 1, 3, 8, 29, 30, 61, 1799):
        past = residual[row - board.position[row] : row]
        expected = [
            past.sum() / (len(past) + 10),
            past[-4:].sum() / (min(4, len(past)) + 5),
            math.log1p(len(past)) / 3,
        ]
        assert found[row] == pytest.approx(expected, abs=1e-5)


def test_taste_features_by_hand(board: Interactions) -> None:
    rng = np.random.default_rng(2)
    residual, features = rng.normal(size=len(board)), rng.normal(size=(len(board), 2)).astype(np.float32)
    start = statistics.first_rows(board.user_id)
    slope, mean = statistics.taste_features(residual, features, start, np.arange(len(board)))
    assert np.abs(slope[board.position <= 1]).max() < 1e-6 and not mean[board.position == 0].any()
    for row in (2, 8, 29, 61, 1799):
        past = slice(row - board.position[row], row)
        away = features[past] - features[past].mean(0)
        assert mean[row] == pytest.approx(features[past].mean(0), abs=1e-5)
        assert slope[row] == pytest.approx(away.T @ residual[past] / ((away**2).sum(0) + 5), abs=1e-5)


def test_train_history_ends_with_train(board: Interactions) -> None:
    rows = np.arange(len(board))
    assert np.array_equal(statistics.history_end(board, rows, "rolling"), rows)
    train_only = statistics.history_end(board, rows, "train")
    assert np.array_equal(train_only, rows - board.position + np.minimum(board.position, 20))

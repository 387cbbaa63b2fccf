"""The running mean by hand, and what within-user metrics make of it under each kind of history."""

from __future__ import annotations

import numpy as np
import pytest

from thinkrec.data.tables import Interactions
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.metrics.running import STRENGTH, running_mean, shuffled
from thinkrec.protocols import PROTOCOLS, Protocol


def made(users: int, rows: int, seed: int = 0) -> Interactions:
    """Labels by chance alone; of each user the last third is test, some before it valid."""
    rng = np.random.default_rng(seed)
    position = np.tile(np.arange(rows), users)
    count = users * rows
    return Interactions(
        user_id=np.repeat(np.arange(1, users + 1), rows), item_id=rng.integers(1, 50, count),
        label=rng.integers(0, 2, count), timestamp=position // 2, position=position,
        split=np.digitize(position, [rows // 3, rows // 2]).astype(np.int8),
        not_cold=np.ones(count, dtype=bool),
    )  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("ties", [True, False])
def test_running_mean_by_hand(protocol: Protocol, ties: bool) -> None:
    data = made(7, 12)
    rows = np.flatnonzero(data.split > 0)[::-1]
    train = data.label[data.split == 0].mean()
    allowed = {"rolling": lambda k, row: True, "train": lambda k, row: data.split[k] == 0,
               "frozen": lambda k, row: data.split[k] < data.split[row]}  # fmt: skip
    for row, value in zip(rows, running_mean(data, rows, protocol, ties), strict=True):
        past = [k for k in range(row - data.position[row], row) if allowed[protocol](k, row)]
        past = [k for k in past if ties or data.timestamp[k] < data.timestamp[row]]
        likes = data.label[past].sum() if past else 0
        assert value == pytest.approx((likes + STRENGTH * train) / (len(past) + STRENGTH))


def test_shuffling_keeps_each_users_likes_and_nothing_else() -> None:
    data = made(30, 12)
    test = data.rows("test")
    other = shuffled(data, test, 1)
    assert not np.array_equal(other.label, data.label)
    assert np.array_equal(np.delete(other.label, test), np.delete(data.label, test))
    counts = [np.bincount(data.user_id[test], weights=each.label[test]) for each in (data, other)]
    assert np.array_equal(*counts)
    assert np.array_equal(shuffled(data, test, 1).label, other.label)
    assert not np.array_equal(shuffled(data, test, 2).label, other.label)


def test_without_anything_to_know_rolling_histories_reward_what_frozen_ones_do_not() -> None:
    """Labels are drawn by chance, and permuted besides: no scorer can have a UAUC but .5."""
    data = made(600, 18)
    test = data.rows("test")
    uauc = {}
    for protocol in PROTOCOLS:
        drawn = []
        for seed in range(3):
            other = shuffled(data, test, seed)
            score = -running_mean(other, test, protocol)
            drawn.append(ranking_metrics(other.user_id[test], other.label[test], score).values["uauc"])
        uauc[protocol] = np.mean(drawn)
    assert uauc["frozen"] == uauc["train"] == 0.5
    assert uauc["rolling"] > 0.6


def test_nothing_to_shuffle_and_no_rows() -> None:
    data = made(2, 6)
    none = np.empty(0, dtype=np.int64)
    assert np.array_equal(shuffled(data, none, 0).label, data.label)
    assert running_mean(data, none).shape == (0,)

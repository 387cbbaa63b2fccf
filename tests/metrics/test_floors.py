"""Floors read train labels only; the ceiling is perfect."""

from dataclasses import replace

import numpy as np
import pytest

from thinkrec.metrics.floors import SMOOTHING, Counts, ceiling, floors
from thinkrec.metrics.ranking import auc, ranking_metrics


@pytest.fixture
def targets(data):
    return data.rows("test")


def test_order_of_strength(data, targets):
    scores, smoothing = floors(data, targets)
    found = {name: auc(data.label[targets], each) for name, each in scores.items()}
    assert found["random"] == 0.5
    assert 0.55 < found["item_mean"] < found["user_item_mean"] < 1
    assert 0.55 < found["user_mean"] < found["user_item_mean"]
    assert set(smoothing) == {"item_mean", "user_mean", "user_item_mean"}
    assert all(each in SMOOTHING for chosen in smoothing.values() for each in chosen)


def test_test_labels_are_never_read(data, targets):
    flipped = data.label.copy()
    flipped[targets] = 1 - flipped[targets]
    before, after = floors(data, targets)[0], floors(replace(data, label=flipped), targets)[0]
    for name, each in before.items():
        assert np.array_equal(each, after[name]), name


def test_valid_labels_choose_the_smoothing_only(data, targets):
    flipped = data.label.copy()
    valid = data.rows("valid")
    flipped[valid] = 1 - flipped[valid]
    before, after = Counts.of_train(data), Counts.of_train(replace(data, label=flipped))
    assert np.array_equal(before.item_likes, after.item_likes) and before.mean == after.mean


def test_smoothed_share_by_hand(data):
    counts = Counts.of_train(data)
    train = (data.split == 0) & (data.item_id == 7)
    likes, rows = data.label[train].sum(), train.sum()
    share = (likes + 10 * counts.mean) / (rows + 10)
    assert counts.item_logit(np.array([7]), 10.0)[0] == pytest.approx(np.log(share / (1 - share)))


def test_user_mean_is_one_score_a_user_from_train_alone(data, targets):
    scores, smoothing = floors(data, targets)
    got = ranking_metrics(data.user_id[targets], data.label[targets], scores["user_mean"])
    uauc = got.per_user["uauc"]
    assert set(uauc[~np.isnan(uauc)]) == {0.5}
    counts, (weight,) = Counts.of_train(data), smoothing["user_mean"]
    train = (data.split == 0) & (data.user_id == 9)
    share = (data.label[train].sum() + weight * counts.mean) / (train.sum() + weight)
    assert scores["user_mean"][data.user_id[targets] == 9] == pytest.approx(np.log(share / (1 - share)))
    valid = data.rows("valid")
    found = {c: auc(data.label[valid], counts.user_logit(data.user_id[valid], c)) for c in SMOOTHING}
    assert found[weight] == max(found.values())


def test_cold_rows_fall_back_to_the_global_mean(data):
    counts = Counts.of_train(data)
    base = np.log(counts.mean / (1 - counts.mean))
    cold_item = np.flatnonzero((data.item_id == 40) & (data.user_id != 1))
    cold_both = np.flatnonzero((data.item_id == 40) & (data.user_id == 1))
    assert len(cold_item)
    scores, smoothing = floors(data, cold_item)
    assert scores["item_mean"] == pytest.approx(base)
    user_part = counts.user_logit(data.user_id[cold_item], smoothing["user_item_mean"][1])
    assert scores["user_item_mean"] == pytest.approx(user_part)
    assert floors(data, cold_both)[0]["user_item_mean"] == pytest.approx(np.full(len(cold_both), base))


@pytest.mark.parametrize("only", [0, 1])
def test_train_of_one_class_stays_finite(data, targets, only):
    label = np.where(data.split == 0, only, data.label)
    for each in floors(replace(data, label=label), targets)[0].values():
        assert np.isfinite(each).all()


def test_valid_of_one_class_takes_the_stated_smoothing(data, targets):
    label = np.where(data.split == 1, 1, data.label)
    _, smoothing = floors(replace(data, label=label), targets)
    assert smoothing == {"item_mean": [10.0], "user_mean": [10.0], "user_item_mean": [10.0, 10.0]}


def test_ceiling_is_perfect(data, targets):
    got = ranking_metrics(data.user_id[targets], data.label[targets], ceiling(data, targets))
    assert got.auc == got.values["uauc"] == 1.0
    ndcg = got.per_user["ndcg@5"]
    assert set(ndcg[~np.isnan(ndcg) & (got.positives > 0)]) == {1.0}

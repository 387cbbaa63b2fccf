"""Two systems against each other: signs, pairing, several trainings, the effect."""

from dataclasses import replace

import numpy as np
import pytest

from thinkrec.metrics.breakdown import Breakdown
from thinkrec.metrics.comparison import compare, net_share, sd_trainings, sd_users
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.ranking import METRICS, ranking_metrics


def noisy(data, weight, seed=0) -> Predictions:
    rows = data.rows("test")
    score = np.random.default_rng(seed).normal(size=len(rows)) + weight * data.label[rows]
    return Predictions.of(data, rows, score, "a")


def all_rows(data, a, b, draws=150, seed=1):
    return compare(a, b, ["test"], Breakdown.of(data).slice, draws, seed)["test"]


def test_the_better_system_is_ahead_and_signs_turn(data):
    good, poor = noisy(data, 3), noisy(data, 0, 1)
    up, down = all_rows(data, [good], [poor]), all_rows(data, [poor], [good])
    for name in METRICS:
        assert up[name]["ahead"] == "a" and down[name]["ahead"] == "b"
        assert 0 < up[name]["low"] < up[name]["difference"] < up[name]["high"]
        assert down[name]["difference"] == -up[name]["difference"]
        assert up[name]["difference"] == pytest.approx(up[name]["a"] - up[name]["b"], abs=2e-8)
        assert (up[name]["effect"] is None) == (name == "auc")
    assert up["uauc"]["effect"] == -down["uauc"]["effect"] > 0.3


def test_nobody_is_ahead_where_the_interval_holds_0(data):
    one = all_rows(data, [noisy(data, 1)], [noisy(data, 1, 5)])
    assert one["auc"]["low"] < 0 < one["auc"]["high"] and one["auc"]["ahead"] is None
    same = all_rows(data, [noisy(data, 1)], [noisy(data, 1)])
    assert same["auc"] | {"a": 0, "b": 0} == {
        "a": 0, "b": 0, "difference": 0, "low": 0, "high": 0, "effect": None, "ahead": None,
        "users": same["users"], "sd_users": 0, "sd_trainings": None,
    }  # fmt: skip
    assert same["uauc"]["effect"] == 0


def test_a_slice_equals_the_comparison_of_its_rows_alone(data):
    a, b, breakdown = noisy(data, 1), noisy(data, 0.5, 2), Breakdown.of(data)
    found = compare([a], [b], ["test", "test/warm", "test/tail"], breakdown.slice, 60, 4)
    mask = breakdown.slice(a, "test/tail")
    alone = compare([a.take(mask)], [b.take(mask)], ["test"], Predictions.slice, 60, 4)["test"]
    assert found["test/tail"] == alone
    assert found["test/tail"]["rows"] == mask.sum() < found["test"]["rows"]
    users = ranking_metrics(a.user_id, a.label, a.score).population
    assert found["test"]["uauc"]["users"] == users["users_uauc"]
    assert found["test"]["auc"]["users"] == found["test"]["users"] == users["users"]


def test_values_are_means_over_trainings_and_their_variance_is_in_the_interval(data):
    # One training is good and one is poor: their mean beats the rival, a training drawn at random may not.
    good, poor, rival = noisy(data, 4), noisy(data, 0, 1), noisy(data, 0.8, 2)
    alone, both = all_rows(data, [good], [rival]), all_rows(data, [good, poor], [rival])
    worse = all_rows(data, [poor], [rival])
    assert both["auc"]["a"] == pytest.approx((alone["auc"]["a"] + worse["auc"]["a"]) / 2, abs=2e-8)
    assert alone["auc"]["ahead"] == "a" and both["auc"]["ahead"] is None
    assert both["auc"]["low"] < 0 < both["auc"]["difference"] < both["auc"]["high"]
    turned = all_rows(data, [rival], [good, poor])
    assert turned["auc"]["low"] < 0 < turned["auc"]["high"]
    # The trainings of A and of B are drawn independently.
    each = all_rows(data, [good, poor], [good, poor], draws=400)["auc"]
    assert each["difference"] == 0 and each["low"] < -0.2 and each["high"] > 0.2


def test_equal_trainings_change_nothing(data):
    a, b = noisy(data, 1), noisy(data, 0.5, 2)
    one, three = all_rows(data, [a], [b]), all_rows(data, [a] * 3, [b] * 2)
    for name in METRICS:
        assert three[name].pop("sd_trainings") == 0 and one[name].pop("sd_trainings") is None
        assert three[name] == pytest.approx(one[name], abs=2e-8)


def test_the_seed_decides_the_interval(data):
    a, b = [noisy(data, 1), noisy(data, 1.2, 7)], [noisy(data, 0.5, 2)]
    assert all_rows(data, a, b) == all_rows(data, a, b)
    assert all_rows(data, a, b)["auc"]["low"] != all_rows(data, a, b, seed=2)["auc"]["low"]


def test_undefined_metrics_and_few_users_have_no_interval(data):
    a, b = noisy(data, 3), noisy(data, 0, 1)
    liked = all_rows(
        data, [replace(a, label=np.ones_like(a.label))], [replace(b, label=np.ones_like(b.label))]
    )
    nothing = dict.fromkeys(("a", "b", "difference", "low", "high", "sd_users", "sd_trainings"))
    assert liked["uauc"] == {**nothing, "effect": None, "users": 0, "ahead": None}
    few = np.isin(a.user_id, np.unique(a.user_id)[:9])
    auc = all_rows(data, [a.take(few)], [b.take(few)])["auc"]
    assert auc["users"] == 9 and auc["difference"] > 0
    assert auc["low"] is auc["high"] is auc["sd_users"] is auc["ahead"] is None


def test_effect_counts_users_not_sizes():
    a, b = np.array([0.6, 0.6, 0.6, 0.1, 0.5, np.nan]), np.array([0.5, 0.5, 0.5, 0.9, 0.5, 0.2])
    assert net_share(a, b) == pytest.approx(3 / 5 - 1 / 5)
    assert net_share(a + 1e-15, a) == 0
    assert net_share(np.array([np.nan]), np.array([1.0])) is None


def test_both_standard_deviations_stand_apart(data):
    first, second, rival = noisy(data, 4), noisy(data, 0, 1), noisy(data, 0.8, 2)
    alone, both = all_rows(data, [first], [rival]), all_rows(data, [first, second], [rival])
    aucs = [ranking_metrics(each.user_id, each.label, each.score).values["auc"] for each in (first, second)]
    assert alone["auc"]["sd_trainings"] is None
    assert both["auc"]["sd_trainings"] == pytest.approx(np.std(aucs, ddof=1), abs=2e-8)
    # Equal trainings differ by nothing; the draws of users are the same.
    equal = all_rows(data, [first] * 2, [rival])
    for name in METRICS:
        assert equal[name]["sd_trainings"] == 0
        assert equal[name]["sd_users"] == pytest.approx(alone[name]["sd_users"], abs=2e-8)
    # An interval of normal draws is about four standard deviations wide.
    wide = alone["auc"]["high"] - alone["auc"]["low"]
    assert 3.2 < wide / alone["auc"]["sd_users"] < 4.6


def test_variances_of_both_systems_trainings_add_up():
    a, b = [0.6, 0.7, 0.8], [0.5, 0.6]
    assert sd_trainings(a, b) == pytest.approx(np.sqrt(0.01 + 0.005))
    assert sd_trainings(a, b[:1]) == pytest.approx(0.1)
    assert sd_trainings(a[:1], b[:1]) is None


def test_the_deviation_between_users_needs_ten_and_defined_draws():
    a, b = np.array([0.5, 0.7, np.nan, 0.9]), np.array([0.4, 0.4, 0.4, 0.4])
    assert sd_users(a, b, 10) == pytest.approx(0.2)
    assert sd_users(a, b, 9) is None and sd_users(None, b, 10) is None
    assert sd_users(np.full(4, np.nan), b, 10) is None

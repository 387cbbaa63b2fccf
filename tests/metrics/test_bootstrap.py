"""Intervals and paired differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from thinkrec.metrics import bootstrap as bootstrap_module
from thinkrec.metrics.bootstrap import bootstrap, interval, paired_difference, user_counts
from thinkrec.metrics.ranking import METRICS, ranking_metrics


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(5)
    user = rng.integers(10, 130, 1500)
    label = (rng.random(1500) < 0.5).astype(np.int64)
    good, poor = np.round(rng.normal(size=1500) + 2 * label, 1), rng.normal(size=1500)
    scores = {"good": good, "poor": poor, "same": good.copy()}
    metrics = {name: ranking_metrics(user, label, score) for name, score in scores.items()}
    return user, label, scores, metrics, bootstrap(user, label, scores, metrics, 120, 1)


def test_a_draw_equals_the_metrics_of_the_resampled_rows(case):
    user, label, scores, _, draws = case
    ids = np.unique(user)
    counts = next(user_counts(len(ids), 120, 1))[3].astype(int)
    repeated = [(u, copy) for u, times in zip(ids, counts, strict=True) for copy in range(times)]
    rows = [np.flatnonzero(user == u) for u, _ in repeated]
    # Each copy of a user is a user of its own.
    copies = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
    taken = np.concatenate(rows)
    want = ranking_metrics(copies, label[taken], scores["good"][taken])
    assert draws["good"]["auc"][3] == pytest.approx(roc_auc_score(label[taken], scores["good"][taken]))
    for name in METRICS:
        assert draws["good"][name][3] == pytest.approx(want.values[name], abs=1e-12)


def test_intervals_contain_the_estimate_and_are_not_empty(case):
    *_, metrics, draws = case
    for system, each in metrics.items():
        for name, value in each.values.items():
            low, high = interval(draws[system][name])
            assert low < value < high


def test_equal_systems_differ_by_nothing(case):
    *_, metrics, draws = case
    found = paired_difference(metrics["good"], metrics["same"], draws["good"], draws["same"])
    assert found == {name: {"difference": 0.0, "low": 0.0, "high": 0.0} for name in METRICS}


def test_a_better_system_is_outside_the_interval_and_signs_turn(case):
    *_, metrics, draws = case
    up = paired_difference(metrics["good"], metrics["poor"], draws["good"], draws["poor"])
    down = paired_difference(metrics["poor"], metrics["good"], draws["poor"], draws["good"])
    for name in METRICS:
        assert 0 < up[name]["low"] < up[name]["difference"] < up[name]["high"]
        assert down[name]["low"] == pytest.approx(-up[name]["high"])


def test_pairing_narrows_the_interval(case):
    *_, metrics, draws = case
    shifted = {name: np.roll(each, 1) for name, each in draws["same"].items()}
    paired = paired_difference(metrics["good"], metrics["same"], draws["good"], draws["same"])
    unpaired = paired_difference(metrics["good"], metrics["same"], draws["good"], shifted)
    assert paired["auc"]["high"] - paired["auc"]["low"] < unpaired["auc"]["high"] - unpaired["auc"]["low"]


def test_seed_decides_the_draws(case):
    user, label, scores, metrics, draws = case
    again, other = (bootstrap(user, label, scores, metrics, 120, seed) for seed in (1, 2))
    assert np.array_equal(again["poor"]["auc"], draws["poor"]["auc"])
    assert not np.array_equal(other["poor"]["auc"], draws["poor"]["auc"])


def test_all_scores_equal_gives_a_point():
    user, label = np.repeat([1, 2, 3], 4), np.tile([0, 1], 6)
    score = {"random": np.zeros(12)}
    metrics = {"random": ranking_metrics(user, label, score["random"])}
    draws = bootstrap(user, label, score, metrics, 30, 0)
    assert interval(draws["random"]["auc"]) == (0.5, 0.5)


def test_undefined_draws_are_left_out():
    # Only draws that hold both users have both classes; with one user's rows alone there is no AUC.
    user, label = np.array([1, 1, 2, 2]), np.array([1, 1, 0, 0])
    score = {"a": np.array([1.0, 1.0, 0.0, 0.0])}
    metrics = {"a": ranking_metrics(user, label, score["a"])}
    draws = bootstrap(user, label, score, metrics, 40, 0)["a"]
    assert 0 < np.isnan(draws["auc"]).sum() < 40
    assert interval(draws["auc"]) == (1.0, 1.0)
    assert interval(draws["uauc"]) is None
    found = paired_difference(metrics["a"], metrics["a"], draws, draws)
    assert found["uauc"] == {"difference": None, "low": None, "high": None}


@pytest.mark.parametrize("users", [1, 3, 255, 2000])
def test_counts_fit_their_bytes(users):
    chunks = list(user_counts(users, 45, 0))
    counts = np.concatenate(chunks)
    assert counts.dtype == np.uint8 and counts.shape == (45, users)
    assert (counts.sum(axis=1, dtype=np.int64) == users).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=25))
def test_every_draw_is_sklearns_auc_of_the_repeated_rows(rows):
    user, label, score = (np.array(column) for column in zip(*rows, strict=True))
    metrics = {"a": ranking_metrics(user, label, score)}
    drawn = bootstrap(user, label, {"a": score}, metrics, 8, 3)["a"]["auc"]
    ids, index = np.unique(user, return_inverse=True)
    for counts, got in zip(next(user_counts(len(ids), 8, 3)), drawn, strict=True):
        repeated = np.repeat(np.arange(len(user)), counts[index])
        if len(set(label[repeated])) < 2:
            assert np.isnan(got)
        else:
            assert got == pytest.approx(roc_auc_score(label[repeated], score[repeated]), abs=1e-12)


def test_no_rows():
    nothing = np.empty(0, dtype=np.int64)
    metrics = {"a": ranking_metrics(nothing, nothing, nothing)}
    assert bootstrap(nothing, nothing, {"a": nothing}, metrics, 10, 0) == {"a": {}}


def test_equal_scores_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    user, label, score = rng.integers(0, 20, 200), rng.integers(0, 2, 200), rng.normal(size=200)
    scores = {"frozen/mf": score, "rolling/mf": score.copy(), "other": -score}
    metrics = {name: ranking_metrics(user, label, each) for name, each in scores.items()}
    made: list[int] = []
    of = bootstrap_module._Pairs.of
    monkeypatch.setattr(bootstrap_module._Pairs, "of", lambda *arguments: made.append(1) or of(*arguments))
    found = bootstrap(user, label, scores, metrics, 50, 7)
    assert len(made) == 2
    alone = bootstrap(user, label, {"mf": score}, {"mf": metrics["rolling/mf"]}, 50, 7)["mf"]
    for name, draws in alone.items():
        assert np.array_equal(found["frozen/mf"][name], draws, equal_nan=True)
        assert np.array_equal(found["rolling/mf"][name], draws, equal_nan=True)
    assert not np.array_equal(found["other"]["auc"], alone["auc"])

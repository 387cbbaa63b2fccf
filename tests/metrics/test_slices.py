"""The content of metrics.json: slices, populations, missing values, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from thinkrec.errors import DataError, ModelError
from thinkrec.metrics.bootstrap import MIN_USERS, paired_difference
from thinkrec.metrics.predictions import SLICES, Predictions
from thinkrec.metrics.ranking import METRICS, ranking_metrics
from thinkrec.metrics.slices import ahead, differences, evaluate_slices, over_seeds


def scored(data, splits=("valid", "test"), seed=0, name="a"):
    rows = np.concatenate([data.rows(split) for split in splits])
    score = np.random.default_rng(seed).normal(size=len(rows)) + data.label[rows]
    return Predictions.of(data, rows, score, name)


def test_every_slice_equals_the_metrics_of_its_rows(data):
    a = scored(data)
    found = evaluate_slices({"a": a}, 30, 1).metrics["a"]
    assert tuple(found) == SLICES
    for part, entry in found.items():
        split, _, warmth = part.partition("/")
        rows = data.rows(split)
        rows = rows[data.not_cold[rows] == (warmth == "warm")] if warmth else rows
        kept = a.take(a.slice(part))
        want = ranking_metrics(data.user_id[rows], data.label[rows], kept.score)
        for name in METRICS:
            assert entry[name] == pytest.approx(want.values[name], abs=1e-8)
            assert entry[f"{name}_low"] <= entry[name] <= entry[f"{name}_high"]
        assert {key: entry[key] for key in want.population} == want.population
    assert found["test"]["rows"] == found["test/warm"]["rows"] + found["test/cold"]["rows"]


def test_scores_stay_with_their_rows_in_whatever_order(data):
    rows = np.random.default_rng(0).permutation(data.rows("test"))
    got = Predictions.of(data, rows, rows / 7, "a")
    assert np.array_equal(got.user_id, data.user_id[data.rows("test")])
    assert np.array_equal(got.score, (data.rows("test") / 7).astype(np.float32))


def test_missing_values_have_reasons(data):
    label = np.where(data.split == 2, 1, data.label)
    one_class = replace(data, label=label, not_cold=np.ones(len(data), dtype=bool))
    found = evaluate_slices({"a": scored(one_class, ("test",))}, 20, 1).metrics["a"]
    test = found["test"]
    assert test["auc"] is test["auc_low"] is test["uauc"] is None
    assert test["auc_reason"] == f"all {test['rows']} labels are 1"
    assert test["uauc_reason"] == "no user has rows of both classes"
    assert test["ndcg@5"] == 1.0 and "ndcg@5_reason" not in test
    assert found["test/cold"]["map@5_reason"] == "no rows" and found["test/cold"]["rows"] == 0
    assert found["valid"]["auc"] is None and found["valid"]["auc_reason"] == "the split was not scored"


def test_systems_with_other_splits_stand_side_by_side(data):
    both, only = scored(data), scored(data, ("test",), seed=1)
    evaluation = evaluate_slices({"both": both, "only": only}, 20, 1)
    assert evaluation.metrics["both"]["valid"]["rows"] == len(data.rows("valid"))
    assert evaluation.metrics["only"]["valid"]["rows"] == 0
    found = differences(evaluation, "both")
    assert set(found) == {"test", "test/warm", "test/cold"}
    auc = found["test"]["only"]["auc"]
    a, b = (evaluation.metrics[name]["test"]["auc"] for name in ("both", "only"))
    assert auc["difference"] == pytest.approx(a - b, abs=2e-8)
    assert auc["low"] < auc["difference"] < auc["high"]


def test_different_rows_are_refused(data):
    a, b = scored(data), scored(data)
    other = replace(b, item_id=b.item_id[::-1])
    with pytest.raises(
        DataError,
        match=r"^a and b were scored on different test rows and can't be compared; "
        r"score both again on the same interactions$",
    ):
        evaluate_slices({"a": a, "b": other}, 5, 1)


def test_refusals_name_system_and_row(data):
    rows = data.rows("test")
    score = np.zeros(len(rows))
    score[4] = np.nan
    user, position = data.user_id[rows[4]], data.position[rows[4]]
    with pytest.raises(
        ModelError,
        match=rf"^mf: score of row {rows[4]} \(user_id {user}, position {position}\) is nan, 1 such rows",
    ):
        Predictions.of(data, rows, score, "mf")
    with pytest.raises(ModelError, match="is inf, 1 such rows"):
        Predictions.of(data, rows, np.where(np.isnan(score), 1e300, 0), "mf")
    with pytest.raises(
        DataError, match=rf"^mf: 3 of the {len(rows)} test rows have a score; score all of them"
    ):
        Predictions.of(data, rows[:3], np.zeros(3), "mf")
    with pytest.raises(DataError, match=r"^mf: 2 scored rows are of train; score valid and test rows only$"):
        Predictions.of(data, data.rows("train")[:2], np.zeros(2), "mf")
    with pytest.raises(DataError, match=r"^mf: 1 rows have more than one score$"):
        Predictions.of(data, np.append(rows, rows[0]), np.zeros(len(rows) + 1), "mf")
    with pytest.raises(DataError, match=r"^mf: no row was scored"):
        Predictions.of(data, rows[:0], np.zeros(0), "mf")
    with pytest.raises(ValueError, match=r"^mf: 2 rows but 3 scores$"):
        Predictions.of(data, rows[:2], np.zeros(3), "mf")


def noisy(data, weight, seed=0):
    rows = data.rows("test")
    score = np.random.default_rng(seed).normal(size=len(rows)) + weight * data.label[rows]
    return Predictions.of(data, rows, score, "a")


def test_only_a_system_whose_every_paired_interval_is_above_0_is_ahead(data):
    systems = {"good": noisy(data, 3), "fair": noisy(data, 0.5, 1), "poor": noisy(data, 0, 2)}
    evaluation = evaluate_slices(systems, 100, 1)
    assert ahead(evaluation, systems)["test"] == dict.fromkeys(METRICS, "good")
    assert "good" not in ahead(evaluation, ["fair", "poor"]).get("test", {}).values()
    close = systems | {"close": noisy(data, 3, 3)}
    found = evaluate_slices(close, 100, 1)
    # Both lie far above the others, but not apart from each other.
    assert "auc" not in ahead(found, close).get("test", {})
    assert ahead(found, ["good"]) == {}


def test_ahead_follows_the_paired_interval_not_the_marginal_ones(data):
    """A small gain for every user: marginal intervals overlap, the paired one leaves 0 out."""
    base = noisy(data, 0.5)
    better = replace(base, score=base.score + 0.3 * base.label.astype(np.float32))
    evaluation = evaluate_slices({"base": base, "better": better}, 200, 1)
    entries = evaluation.metrics["base"]["test"], evaluation.metrics["better"]["test"]
    assert entries[0]["auc_high"] > entries[1]["auc_low"]
    assert ahead(evaluation, ["base", "better"])["test"]["auc"] == "better"


def test_too_few_users_give_no_interval_and_no_winner(data):
    few = np.unique(data.user_id[data.rows("test")])[: MIN_USERS - 1]
    systems = {"good": noisy(data, 9), "poor": noisy(data, 0, 2)}
    cut = {name: each.take(np.isin(each.user_id, few)) for name, each in systems.items()}
    evaluation = evaluate_slices(cut, 50, 1)
    assert ahead(evaluation, cut) == {}
    ranking, drawn = evaluation.ranking["test"], evaluation.draws["test"]
    auc = paired_difference(ranking["good"], ranking["poor"], drawn["good"], drawn["poor"])["auc"]
    assert auc["difference"] > 0 and auc["low"] is auc["high"] is None


def test_mean_and_deviation_over_seeds(data):
    trainings = [noisy(data, 1, seed) for seed in range(3)]
    values = [ranking_metrics(each.user_id, each.label, each.score).values["uauc"] for each in trainings]
    found = over_seeds(trainings)
    assert found["seeds"] == 3
    assert found["uauc_mean"] == pytest.approx(np.mean(values), abs=1e-8)
    assert found["uauc_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-8)
    one_class = [replace(each, label=np.ones_like(each.label)) for each in trainings]
    assert over_seeds(one_class)["auc_mean"] is over_seeds(one_class)["auc_sd"] is None
    with pytest.raises(DataError, match=r"^seed 1 and seed 2 were scored on different test rows"):
        over_seeds([trainings[0], replace(trainings[1], position=trainings[1].position + 1)])

"""Ranking metrics against brute force and scikit-learn, and each degenerate case."""

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from thinkrec.errors import DataError, ModelError
from thinkrec.metrics.ranking import auc, ranking_metrics


def one(label: list[int], score: list[float], k: int = 5) -> dict[str, float | None]:
    return ranking_metrics(np.ones(len(label), dtype=np.int64), np.array(label), np.array(score), k).values


def ordered_ndcg(label: list[int], k: int) -> float:
    gains = [rel / log2(place + 1) for place, rel in enumerate(label[:k], 1)]
    best = [rel / log2(place + 1) for place, rel in enumerate(sorted(label, reverse=True)[:k], 1)]
    return sum(gains) / sum(best) if sum(best) else 0.0


def ordered_map(label: list[int], k: int) -> float:
    precisions = [
        sum(label[:place]) / place for place in range(1, min(k, len(label)) + 1) if label[place - 1]
    ]
    return sum(precisions) / sum(label) if sum(label) else 0.0


def expected(metric, label: list[int], score: list[float], k: int) -> float:
    """Mean over every order that sorts the scores downwards."""
    orders = [
        order
        for order in permutations(range(len(label)))
        if all(score[a] >= score[b] for a, b in pairwise(order))
    ]
    return float(np.mean([metric([label[i] for i in order], k) for order in orders]))


rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 6))
def test_ties_count_with_their_expected_value_over_all_orders(pairs, k):
    label, score = [a for a, _ in pairs], [float(b) for _, b in pairs]
    got = one(label, score, k)
    assert got[f"ndcg@{k}"] == pytest.approx(expected(ordered_ndcg, label, score, k), abs=1e-12)
    assert got[f"map@{k}"] == pytest.approx(expected(ordered_map, label, score, k), abs=1e-12)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    user = rng.integers(1, 300, 2500) * 7
    label = (rng.random(2500) < 0.6).astype(np.int64)
    return user, label, np.round(rng.normal(size=2500) + label, 1)


def test_agrees_with_sklearn_for_each_user(table):
    user, label, score = table
    got = ranking_metrics(user, label, score)
    assert got.auc == pytest.approx(roc_auc_score(label, score))
    seen = 0
    for u, uauc in zip(got.user, got.per_user["uauc"], strict=True):
        own = label[user == u]
        if len(own) > 1 and 0 < own.sum() < len(own):
            assert uauc == pytest.approx(roc_auc_score(own, score[user == u]))
            seen += 1
        else:
            assert np.isnan(uauc)
    assert got.values["uauc"] == pytest.approx(np.nanmean(got.per_user["uauc"]))
    assert got.population["users_uauc"] == seen > 100


def test_ndcg_agrees_with_sklearn_where_its_ties_are_averaged(table):
    user, label, score = table
    got = ranking_metrics(user, label, score)
    checked = 0
    for u, ndcg in zip(got.user, got.per_user["ndcg@5"], strict=True):
        own = label[user == u]
        if len(own) > 1 and own.sum():
            assert ndcg == pytest.approx(ndcg_score([own], [score[user == u]], k=5))
            checked += 1
    assert checked > 100


def test_populations(table):
    user, label, score = table
    got = ranking_metrics(user, label, score)
    counts = np.bincount(user)
    assert got.population["rows"] == 2500
    assert got.population["users"] == (counts > 0).sum()
    assert got.population["users_ranked"] == (counts > 1).sum()
    assert got.population["positives"] == label.sum()
    _, shared = np.unique(np.stack([user, score]), axis=1, return_counts=True)
    assert got.population["tied_rows"] == shared[shared > 1].sum()


def test_row_order_changes_nothing(table):
    user, label, score = table
    order = np.random.default_rng(0).permutation(len(user))
    assert (
        ranking_metrics(user, label, score).values
        == ranking_metrics(user[order], label[order], score[order]).values
    )


def test_hand_made_user():
    # Best first: like, dislike, like. AUC 1/2; DCG 1 + 1/2 of ideal 1 + 1/log2(3); precisions 1 and 2/3.
    got = one([1, 0, 1], [3.0, 2.0, 1.0])
    assert got["uauc"] == 0.5
    assert got["ndcg@5"] == pytest.approx(1.5 / (1 + 1 / log2(3)))
    assert got["map@5"] == pytest.approx((1 + 2 / 3) / 2)


def test_map_divides_by_all_positives_even_beyond_k():
    assert one([1] * 8, list(range(8)))["map@5"] == pytest.approx(5 / 8)


def test_single_row_user_counts_in_auc_only():
    got = ranking_metrics(np.array([1, 2, 2]), np.array([1, 0, 1]), np.array([0.5, 0.1, 0.9]))
    assert got.auc == 1.0
    assert np.isnan([values[0] for values in got.per_user.values()]).all()
    assert got.population["users_ranked"] == 1 == got.population["users_uauc"]


def test_one_class_users_count_in_ndcg_and_map_but_not_in_uauc():
    user, label = np.array([1, 1, 2, 2, 3, 3]), np.array([0, 0, 1, 1, 1, 0])
    got = ranking_metrics(user, label, np.array([2.0, 1.0, 2.0, 1.0, 2.0, 1.0]))
    assert got.per_user["ndcg@5"].tolist() == [0.0, 1.0, 1.0]
    assert got.per_user["map@5"].tolist() == [0.0, 1.0, 1.0]
    assert got.values["uauc"] == 1.0
    assert (got.population["users_ranked"], got.population["users_uauc"]) == (3, 1)


def test_fewer_rows_than_k():
    assert one([0, 1], [2.0, 1.0], k=5) == {
        "auc": 0.0,
        "uauc": 0.0,
        "ndcg@5": pytest.approx(1 / log2(3)),
        "map@5": 0.5,
    }


def test_all_scores_equal_is_chance():
    got = one([1, 0, 0, 0], [7.0] * 4)
    assert got["auc"] == got["uauc"] == 0.5
    assert got["map@5"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_undefined_values_have_reasons():
    got = ranking_metrics(np.array([1, 1]), np.array([1, 1]), np.array([0.1, 0.2]))
    assert got.values["auc"] is None and got.values["uauc"] is None
    assert got.reasons == {"auc": "all 2 labels are 1", "uauc": "no user has rows of both classes"}
    single = ranking_metrics(np.array([1, 2]), np.array([1, 0]), np.array([0.1, 0.2]))
    assert single.auc == 0.0
    assert single.reasons["ndcg@5"] == single.reasons["map@5"] == "no user has two rows or more"
    nothing = np.empty(0, dtype=np.int64)
    empty = ranking_metrics(nothing, nothing, nothing)
    assert set(empty.values.values()) == {None}
    assert set(empty.reasons.values()) == {"no rows"}
    assert set(empty.population.values()) == {0}


def test_bad_input_names_the_row():
    user, label = np.array([4, 4, 9]), np.array([0, 1, 1])
    with pytest.raises(
        ModelError, match=r"^row 1 \(user 4\): score is nan, and 1 more rows; a score must be"
    ):
        ranking_metrics(user, label, np.array([0.0, np.nan, np.inf]))
    with pytest.raises(DataError, match=r"^row 2 \(user 9\): label is 2, must be 0 or 1$"):
        ranking_metrics(user, np.array([0, 1, 2]), np.zeros(3))
    with pytest.raises(ValueError, match="3 users, 3 labels and 2 scores: lengths must agree"):
        ranking_metrics(user, label, np.zeros(2))
    with pytest.raises(ValueError, match="k is 0, must be at least 1"):
        ranking_metrics(user, label, np.zeros(3), k=0)


tables = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 1), st.integers(-20, 20)), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_only_the_order_of_scores_matters(found):
    user, label, score = (np.array(column) for column in zip(*found, strict=True))
    plain = ranking_metrics(user, label, score.astype(np.float64))
    assert plain.values == ranking_metrics(user, label, np.exp(score / 4.0) * 3 - 8).values
    assert plain.population == ranking_metrics(user, label, score**3).population


@settings(max_examples=60, deadline=None)
@given(tables)
def test_reversed_scores_give_one_minus_auc(found):
    user, label, score = (np.array(column) for column in zip(*found, strict=True))
    forward, backward = ranking_metrics(user, label, score), ranking_metrics(user, label, -score)
    assert np.allclose(forward.per_user["uauc"], 1 - backward.per_user["uauc"], equal_nan=True)
    if forward.auc is None:
        assert backward.auc is None and auc(label, score) is None
    else:
        assert forward.auc == pytest.approx(1 - backward.auc) == pytest.approx(auc(label, score))

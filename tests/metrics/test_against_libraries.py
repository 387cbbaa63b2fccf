"""Our metrics against independent ones, user by user: scikit-learn, and trec_eval by pytrec_eval."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from thinkrec.metrics.ranking import ranking_metrics

CUTS = (1, 3, 5, 10)


@st.composite
def tables(draw, tied: bool):
    """(user, label, score) of up to 60 rows; users of one row, of one class and of long lists all occur."""
    count = draw(st.integers(1, 60))
    label = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    user = draw(st.lists(st.integers(1, 6), min_size=count, max_size=count))
    if tied:
        score = draw(st.lists(st.integers(-2, 2), min_size=count, max_size=count))
    else:
        score = draw(st.permutations(range(count)))
    return np.array(user), np.array(label), np.array(score, dtype=np.float64)


def by_user(user, label, score):
    return {int(u): (label[user == u], score[user == u]) for u in np.unique(user)}


@settings(max_examples=150, deadline=None)
@given(tables(tied=True), st.sampled_from(CUTS))
def test_scikit_learn_says_the_same_of_every_user_ties_included(table, k):
    found = ranking_metrics(*table, k=k)
    for place, (label, score) in enumerate(by_user(*table).values()):
        own = {name: values[place] for name, values in found.per_user.items()}
        if len(label) == 1:
            assert np.isnan(list(own.values())).all()
            continue
        assert own[f"ndcg@{k}"] == pytest.approx(ndcg_score([label], [score], k=k), abs=1e-12)
        if 0 < label.sum() < len(label):
            assert own["uauc"] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        else:
            assert np.isnan(own["uauc"])
    if len(np.unique(table[1])) == 2:
        assert found.auc == pytest.approx(roc_auc_score(table[1], table[2]), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(tables(tied=False), st.sampled_from(CUTS))
def test_trec_eval_says_the_same_of_every_user_without_ties(table, k):
    found, users = ranking_metrics(*table, k=k), by_user(*table)
    labels = {str(u): {str(i): int(x) for i, x in enumerate(label)} for u, (label, _) in users.items()}
    scores = {str(u): {str(i): float(x) for i, x in enumerate(score)} for u, (_, score) in users.items()}
    told = pytrec_eval.RelevanceEvaluator(labels, {f"ndcg_cut.{k}", f"map_cut.{k}"}).evaluate(scores)
    for place, (u, (label, _)) in enumerate(users.items()):
        if len(label) > 1:
            for name in ("ndcg", "map"):
                own = found.per_user[f"{name}@{k}"][place]
                assert own == pytest.approx(told[str(u)][f"{name}_cut_{k}"], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(tables(tied=True))
def test_a_tie_lies_between_the_two_orders_that_break_it(table):
    """Breaking all ties for or against the likes bounds what we give: independent of the closed form."""
    user, label, score = table
    found = ranking_metrics(user, label, score)
    for name, own in found.per_user.items():
        for_likes = ranking_metrics(user, label, score + label / 2).per_user[name]
        against = ranking_metrics(user, label, score - label / 2).per_user[name]
        known = ~np.isnan(own)
        assert (against[known] <= own[known] + 1e-12).all() and (own[known] <= for_likes[known] + 1e-12).all()

"""ROUGE-L, distinctness, summaries and all metrics together, with degenerate cases."""

from __future__ import annotations

import numpy as np
import pytest

from thinkrec.metrics.reasons.keywords import Keywords
from thinkrec.metrics.reasons.measure import Told, Tools, text_metrics
from thinkrec.metrics.reasons.names import MEANING
from thinkrec.metrics.reasons.overlap import distinct_2, distinct_texts, rouge_l
from thinkrec.metrics.reasons.summary import Values, split_summary, summary
from thinkrec.metrics.reasons.titles import Catalogue


def test_rouge_l_by_hand():
    # Longest common subsequence "they like films": P = 3/4, R = 3/5, F1 = 2 PR / (P + R).
    (got,) = rouge_l(["they like slow old films"], ["They, like funny films!"])
    assert got == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_rouge_l_of_other_alphabets_and_of_nothing():
    assert rouge_l(["Amélie und 東京物語", "", "a", "!"], ["amélie und 東京物語", "a", "", "!"]) == [
        1,
        0,
        0,
        0,
    ]
    with pytest.raises(ValueError, match="zip"):
        rouge_l(["a"], [])


def test_distinct_by_hand():
    found = distinct_texts(["Yes. A", "yes.  a", "No."])
    assert found.value.tolist() == [0.5, 0.5, 1.0]  # two different texts of three
    pairs = distinct_2(["a b c", "a b", "d", ""])  # ab bc ab: two different pairs of three
    assert pairs.weight is not None and pairs.weight.tolist() == [2, 1, 0, 0]
    assert pairs.value[:2].tolist() == [0.75, 0.5] and np.isnan(pairs.value[2:]).all()
    assert summary(pairs, np.array([1, 2, 3, 4]), 20, 7)["value"] == pytest.approx(2 / 3)
    assert summary(distinct_2(["a", ""]), np.array([1, 2]), 20, 7) == {
        "value": None, "reason": "no text has two words", "rows": 0, "users": 0,
    }  # fmt: skip


def test_summary_counts_what_defines_it():
    found = summary(Values(np.array([1.0, 0.0, np.nan, 1.0])), np.array([5, 5, 6, 7]), 200, 7)
    assert found["value"] == pytest.approx(2 / 3)
    assert (found["rows"], found["users"]) == (3, 2)
    assert found["low"] == 0.5 and found["high"] == 1.0  # users' own means, the extremes of two users
    nothing = summary(Values(np.array([np.nan]), nothing="no like"), np.array([1]), 20, 7)
    assert nothing == {"value": None, "reason": "no like", "rows": 0, "users": 0}


def test_split_by_hinted():
    values, user = Values(np.array([1.0, 0.0, 0.0])), np.array([1, 2, 3])
    found = split_summary(values, user, [True, False, None], 20, 7)
    assert found["hinted"]["value"] == 1.0 and found["unhinted"]["value"] == 0.0
    assert (found["hinted"]["rows"], found["unhinted"]["rows"], found["rows"]) == (1, 1, 3)
    assert not {"hinted", "unhinted"} & split_summary(values, user, [None] * 3, 20, 7).keys()


def told(reason: str, reference: str = "Yes. They liked it.", **others) -> Told:
    return Told(reason, reference, **({"user": 1, "score": 1.0} | others))


def test_all_metrics_are_there_and_absence_is_no_zero():
    said = [
        told("Yes. They will like it.", hinted=True),
        told("", user=2, hinted=False),
        told("No. 東京", user=3),
    ]
    found = text_metrics(said, Catalogue([]), Keywords({}), Tools(), 50, 7)
    assert list(found) == [name for name in MEANING if name != "meteor"]
    assert {name for name, each in found.items() if each["value"] is None} == {
        "bleurt", "similarity", "words_known", "titles_in_prompt", "claims_fit_labels", "keywords_fit_items",
    }  # fmt: skip
    assert "thinkrec fetch minilm" in found["similarity"]["reason"]
    assert "evaluate.bleurt" in found["bleurt"]["reason"]
    assert "thinkrec fetch wordnet" in found["words_known"]["reason"]
    assert found["titles_in_prompt"] == {
        "value": None, "reason": "no text names a title", "rows": 0, "users": 0,
        "hinted": {"value": None, "reason": "no text names a title", "rows": 0, "users": 0},
        "unhinted": {"value": None, "reason": "no text names a title", "rows": 0, "users": 0},
    }  # fmt: skip
    assert found["verdict_fits_score"]["value"] == pytest.approx(1 / 3)
    assert found["meteor_exact_stem"]["rows"] == 3
    assert found["rouge_l"]["hinted"]["rows"] == 1


def test_tools_that_are_there_are_used():
    tools = Tools(bleurt=lambda a, b: [0.5] * len(a), similarity=lambda a, b: [float("nan")] * len(a))
    found = text_metrics([told("Yes.")], Catalogue([]), Keywords({}), tools, 10, 7)
    assert found["bleurt"]["value"] == 0.5
    assert found["similarity"] == {"value": None, "reason": "no row defines it", "rows": 0, "users": 0}


def test_nothing_to_compare():
    found = text_metrics([], Catalogue([]), Keywords({}), Tools(), 10, 7)
    assert found["meteor_exact_stem"] == {"value": None, "reason": "no pair of texts", "rows": 0, "users": 0}

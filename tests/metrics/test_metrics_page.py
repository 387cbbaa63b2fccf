"""The worked example of docs/metrics.md, computed anew, by the other libraries where they are installed."""

import re
from itertools import permutations, product
from math import log2
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from thinkrec.config.sections import Params
from thinkrec.metrics.breakdown import HEAD_SHARE, HISTORY
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.metrics.running import MINUS_RUNNING_MEAN
from thinkrec.protocols import PROTOCOLS
from thinkrec.reports.kinds import SHUFFLED
from thinkrec.systems.control import DRAWS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
EXAMPLE = {
    user: (np.array(labels.split(), dtype=np.int64), np.array(scores.split(), dtype=np.float64))
    for user, labels, scores in re.findall(r"^\| ([a-e]) \| ([01 ]+) \| ([0-9. ]+) \|$", PAGE, re.M)
}
USERS = list(EXAMPLE)
ROWS = (
    np.repeat(np.arange(len(USERS)), [len(label) for label, _ in EXAMPLE.values()]),
    np.concatenate([label for label, _ in EXAMPLE.values()]),
    np.concatenate([score for _, score in EXAMPLE.values()]),
)
OURS = ranking_metrics(*ROWS)


def trec(backwards: bool = False) -> dict[str, dict[str, float]]:
    labels, scores = {}, {}
    for user, (label, score) in EXAMPLE.items():
        names = [f"{i:02}" for i in range(len(label))]
        names = names[::-1] if backwards else names
        labels[user] = dict(zip(names, label.tolist(), strict=True))
        scores[user] = dict(zip(names, score.tolist(), strict=True))
    return pytrec_eval.RelevanceEvaluator(labels, {"ndcg_cut.5", "map_cut.5"}).evaluate(scores)


def own(metric: str, user: str) -> float:
    return float(OURS.per_user[metric][USERS.index(user)])


def precisions_of_e() -> float:
    label = EXAMPLE["e"][0][:5]
    return sum(label[: i + 1].mean() for i in range(5) if label[i])


def rows() -> list[tuple[str, float, float, str]]:
    a, e, in_order = EXAMPLE["a"], EXAMPLE["e"], trec()
    both = [(u, EXAMPLE[u][0].sum()) for u in "ae"]
    weighted = sum(own("uauc", u) * likes for u, likes in both) / sum(likes for _, likes in both)
    ndcg_a, map_e = own("ndcg@5", "a"), own("map@5", "e")
    by_sort = ndcg_score([a[0]], [a[1]], k=5, ignore_ties=True)
    return [
        ("AUC, all rows", OURS.auc, roc_auc_score(*ROWS[1:]), "scikit-learn"),
        ("mean AUC of users", OURS.values["uauc"], weighted, "RecBole's weights"),
        ("NDCG@5 of a", ndcg_a, ndcg_score([a[0]], [a[1]], k=5), "scikit-learn"),
        ("NDCG@5 of a", ndcg_a, by_sort, "scikit-learn, ties by the sort"),
        ("NDCG@5 of a", ndcg_a, in_order["a"]["ndcg_cut_5"], "trec_eval, items named in order"),
        ("NDCG@5 of a", ndcg_a, trec(True)["a"]["ndcg_cut_5"], "trec_eval, items named backwards"),
        ("MAP@5 of a", own("map@5", "a"), in_order["a"]["map_cut_5"], "trec_eval, items named in order"),
        ("AP of a, no cut", own("map@5", "a"), average_precision_score(*a), "scikit-learn"),
        ("MAP@5 of e", map_e, in_order["e"]["map_cut_5"], "trec_eval"),
        ("MAP@5 of e", map_e, precisions_of_e() / min(e[0].sum(), 5), "RecBole's divisor"),
        ("MAP@5 of e", map_e, precisions_of_e() / e[0][:5].sum(), "torchmetrics' divisor"),
        (
            "MAP@5, mean",
            OURS.values["map@5"],
            np.mean([each["map_cut_5"] for each in in_order.values()]),
            "trec_eval, items named in order",
        ),
    ]  # fmt: skip


def test_every_number_of_the_example_is_right():
    shown = re.findall(r"^\| (.+) \| ([0-9.]+) \| ([0-9.]+) \| (.+) \|$", PAGE, re.M)
    for (what, a, b, whose), (name, ours, theirs, source) in zip(shown, rows(), strict=True):
        assert (what, whose) == (name, source)
        assert (float(a), float(b)) == pytest.approx((ours, theirs), abs=5.1e-5), what


def test_what_the_page_says_of_scikit_learn():
    with pytest.raises(ValueError, match="more than 1 document"):
        ndcg_score([EXAMPLE["c"][0]], [EXAMPLE["c"][1]], k=5)
    with pytest.warns(UserWarning, match="Only one class"):
        assert np.isnan(roc_auc_score(*EXAMPLE["d"]))
    assert own("ndcg@5", "b") == ndcg_score([EXAMPLE["b"][0]], [EXAMPLE["b"][1]], k=5) == 0


def test_definitions_by_hand():
    tied_first = 0.5 * (1 + 1 / log2(4)) + 0.5 * (1 / log2(3) + 1 / log2(4))
    assert own("ndcg@5", "a") == pytest.approx(tied_first / (1 + 1 / log2(3)))
    assert own("uauc", "a") == 2.5 / 4 and np.isnan(own("uauc", "d")) and np.isnan(own("map@5", "c"))


def test_the_page_names_the_slices_as_the_code_has_them():
    assert f"{HEAD_SHARE:.0%}".replace("%", " %") in PAGE
    assert f"history_{HISTORY[0]}-{HISTORY[1] - 1} ... history_{HISTORY[-1]}+" in PAGE


def test_the_page_has_the_protocols_and_controls_of_the_code():
    assert set(re.findall(r"^\| `(\w+)`", PAGE, re.M)) >= set(PROTOCOLS)
    default = Params()
    assert f"| `{default.evaluate.headline}` (headline) |" in PAGE
    assert f"**`choose_by`** (default `{default.choose_by}`)" in PAGE
    assert f"({DRAWS} draws; `{SHUFFLED}` in" in PAGE
    assert all(f"`{name}`" in PAGE for name in (*FLOORS, MINUS_RUNNING_MEAN))


@pytest.mark.parametrize(("n", "likes"), [(4, 2), (5, 1), (6, 4)])
def test_the_proof_line_by_line(n: int, likes: int):
    """Over all orders of a user's rows and all pairs of a like and a dislike."""
    orders = sorted(set(permutations([1] * likes + [0] * (n - likes))))
    first, ties, pairs, values = 0, 0, 0, []
    for order in orders:
        s = np.cumsum(order) - order
        for like, dislike in product(np.flatnonzero(order), np.flatnonzero(np.array(order) == 0)):
            pairs += 1
            if like < dislike:
                first += 1
                assert -s[like] > -s[dislike]  # line 2
            else:
                between = sum(order[dislike + 1 : like])
                assert (s[like] == s[dislike]) == (between == 0) and s[like] >= s[dislike]  # line 3
                ties += s[like] == s[dislike]
        values.append(ranking_metrics(np.zeros(n, dtype=int), np.array(order), -s).auc)
    assert 2 * first == pairs  # line 1
    assert np.mean(values) == pytest.approx(0.5 + ties / pairs / 2) and ties > 0  # line 4
    assert all(f"\n{line}. " in PAGE for line in (1, 2, 3, 4))

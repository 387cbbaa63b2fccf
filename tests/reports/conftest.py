"""A measured data set: interactions, two systems' scores, and what was written about them."""

import numpy as np
import pytest

from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.reports.results import Scores, write_results


@pytest.fixture(scope="session")
def interactions() -> Interactions:
    rng = np.random.default_rng(4)
    users, each = 50, 24
    user, item = np.repeat(np.arange(1, users + 1), each), rng.integers(1, 31, users * each)
    liked = rng.normal(size=31)[item] + rng.normal(size=users + 1)[user]
    label = (rng.random(len(user)) < 1 / (1 + np.exp(-liked))).astype(np.int64)
    position = np.tile(np.arange(each), users)
    split = np.select([position < 14, position < 19], [0, 1], 2).astype(np.int8)
    split[(item == 30) & (split == 0)] = 1
    return Interactions(user, item, label, position * 9, position, split, np.isin(item, item[split == 0]))


@pytest.fixture(scope="session")
def system_scores(interactions):
    rng = np.random.default_rng(8)
    rows = np.concatenate([interactions.rows("test"), interactions.rows("valid")])
    noise = rng.normal(size=(2, len(rows)))
    strong = noise[0] + 2.5 * interactions.label[rows] - 1.2
    test = interactions.rows("test")
    return {"strong": (rows, strong), "weak": (test, noise[1][: len(test)])}


@pytest.fixture(scope="session")
def scores(system_scores):
    """Under each protocol other scores; under rolling ones `strong` is weaker, but still ahead."""
    rows, strong = system_scores["strong"]
    weaker = strong + np.random.default_rng(2).normal(size=len(rows))
    return {"frozen": Scores(system_scores), "rolling": Scores({**system_scores, "strong": (rows, weaker)})}


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout("demo", tmp_path)


@pytest.fixture
def results(layout, interactions, scores):
    meteor = {"value": 0.25, "low": 0.2, "high": 0.3, "rows": 40, "users": 30}
    reasons = {"strong": {"meteor": meteor, "bleurt": {"value": None, "reason": "no <checkpoint>"}}}
    return write_results(layout, interactions, scores, 60, 7, "strong", reasons)

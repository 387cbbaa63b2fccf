"""The gbdt baseline learns, is chosen on valid, and says what it can't use."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from features_by_hand import random_interactions
from scoring import gbdt_scores

from thinkrec.baselines.features import OWN, features
from thinkrec.baselines.gbdt import Boosting, Gbdt, fit_gbdt, grow
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError, ModelError
from thinkrec.metrics.damping import DAMPING_GRID
from thinkrec.metrics.ranking import auc, ranking_metrics
from thinkrec.protocols import PROTOCOLS

SMALL = Boosting(learning_rate=0.1, max_leaf_nodes=4, l2_regularization=1.0, max_iter=60)


def board() -> Interactions:
    """60 users, 30 rows each, 40 items; like = same parity, met 4 times in 5; a tenth of labels turned."""
    rng = np.random.default_rng(0)
    user, position = np.repeat(np.arange(1, 61), 30), np.tile(np.arange(30), 60)
    odd = np.where(rng.random(1800) < 0.8, user % 2, 1 - user % 2)
    item = 2 * rng.integers(1, 21, 1800) - odd
    split = np.tile(np.repeat([0, 1, 2], [20, 5, 5]), 60).astype(np.int8)
    label = ((user % 2 == item % 2) ^ (rng.random(1800) < 0.1)).astype(np.int64)
    return Interactions(user, item, label, position * 60, position, split, np.ones(1800, dtype=bool))


@pytest.fixture(scope="module")
def data() -> Interactions:
    return board()


@pytest.fixture(scope="module")
def matrix(data: Interactions) -> np.ndarray:
    return features(data, np.arange(len(data)))[0]


def test_learns_who_likes_what(data: Interactions) -> None:
    """Neither user nor item alone tells anything; only similar items do."""
    test = data.rows("test")
    assert auc(data.label[test], gbdt_scores(data, test, SMALL, seed=7)) > 0.85


def test_the_round_is_the_best_on_valid(data: Interactions, matrix: np.ndarray) -> None:
    found, valid = fit_gbdt(data, matrix, SMALL, seed=7), data.rows("valid")
    model = grow(data, matrix, SMALL, seed=7)
    stages = list(model.staged_decision_function(matrix[valid]))
    each = [auc(data.label[valid], score.ravel()) for score in stages]
    np.testing.assert_array_equal(found.logits(matrix[valid]), stages[found.rounds - 1].ravel())
    assert len(each) == SMALL.max_iter
    assert found.valid_auc == max(each) and found.rounds == each.index(max(each)) + 1
    assert auc(data.label[valid], found.logits(matrix[valid])) == found.valid_auc


def test_the_damping_is_the_best_on_valid(data: Interactions, matrix: np.ndarray) -> None:
    found, valid = fit_gbdt(data, matrix, SMALL, seed=7), data.rows("valid")
    first = matrix[(data.split == 0) & (data.position == 0)]
    np.testing.assert_allclose(found.newcomer, first[:, :OWN].mean(0), rtol=1e-5)

    def both(share: float) -> float:
        score = replace(found, damping=share).score(matrix[valid])
        said = ranking_metrics(data.user_id[valid], data.label[valid], score)
        return said.auc + said.values["uauc"]

    each = [both(share) for share in DAMPING_GRID]
    assert found.damping == DAMPING_GRID[int(np.argmax(each))] and len(set(each)) > 1


def test_the_damped_part_does_not_see_the_users_own_verdicts(data: Interactions, matrix: np.ndarray) -> None:
    found = replace(fit_gbdt(data, matrix, SMALL, seed=7), damping=1.0)
    other = matrix.copy()
    other[:, :OWN] += 1
    np.testing.assert_array_equal(found.score(matrix), found.score(other))
    half = replace(found, damping=0.5)
    mean = (found.logits(matrix) + found.score(matrix)) / 2
    np.testing.assert_allclose(half.score(matrix), mean)
    assert not np.array_equal(half.score(matrix), half.score(other))


def test_test_labels_change_nothing_and_valid_labels_only_what_is_chosen(
    data: Interactions, matrix: np.ndarray
) -> None:
    found = fit_gbdt(data, matrix, SMALL, seed=7)
    test = fit_gbdt(
        replace(data, label=np.where(data.split == 2, 1 - data.label, data.label)), matrix, SMALL, 7
    )
    np.testing.assert_array_equal(found.score(matrix), test.score(matrix))
    valid = fit_gbdt(
        replace(data, label=np.where(data.split == 1, 1 - data.label, data.label)), matrix, SMALL, 7
    )
    assert valid.rounds != found.rounds
    both = min(valid.rounds, found.rounds)
    sizes = found.trees.sizes[:both]
    np.testing.assert_array_equal(sizes, valid.trees.sizes[:both])
    nodes = int(sizes.sum())
    np.testing.assert_array_equal(found.trees.nodes[:nodes], valid.trees.nodes[:nodes])


def test_same_seed_same_scores(data: Interactions) -> None:
    test = data.rows("test")
    one, again, other = (gbdt_scores(data, test, SMALL, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == test.shape and np.isfinite(one).all()


def test_the_protocol_is_passed_on(data: Interactions) -> None:
    test = data.rows("test")
    found = [gbdt_scores(data, test, SMALL, 7, protocol) for protocol in PROTOCOLS]
    assert len(np.unique(found, axis=0)) == len(PROTOCOLS) == 3


def test_no_rows_no_scores(data: Interactions) -> None:
    assert gbdt_scores(data, np.empty(0, dtype=np.int64), SMALL, seed=7).shape == (0,)


@pytest.mark.parametrize(("split", "code"), [("train", 0), ("valid", 1)])
def test_one_class_is_refused(split: str, code: int) -> None:
    data = random_interactions(0)
    label = np.where(data.split == code, 1, data.label)
    rows = int((data.split == code).sum())
    with pytest.raises(DataError) as told:
        gbdt_scores(replace(data, label=label), data.rows("test"), SMALL, seed=7)
    assert str(told.value) == (
        f"split {split} has {rows} likes in {rows} rows; likes and dislikes are needed in train and valid: "
        "check the windows and positive_above of the data set in params.yaml"
    )


def test_trees_come_back_from_their_file(data: Interactions, matrix: np.ndarray, tmp_path: Path) -> None:
    found, path = fit_gbdt(data, matrix, SMALL, seed=7), tmp_path / "7.safetensors"
    found.save(path)
    again = Gbdt.load(path)
    np.testing.assert_array_equal(again.score(matrix), found.score(matrix))
    assert (again.rounds, again.valid_auc, again.damping) == (found.rounds, found.valid_auc, found.damping)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"7\.safetensors can't be read .*run `thinkrec baselines` again"):
        Gbdt.load(path)


def test_a_node_beyond_its_tree_is_refused(data: Interactions, matrix: np.ndarray, tmp_path: Path) -> None:
    found = fit_gbdt(data, matrix, SMALL, seed=7)
    nodes = found.trees.nodes.copy()
    nodes["left"][0] = 10_000
    replace(found, trees=replace(found.trees, nodes=nodes)).save(tmp_path / "7.safetensors")
    with pytest.raises(ModelError, match="a node points beyond its tree"):
        Gbdt.load(tmp_path / "7.safetensors")

"""Stage baselines: gbdt's scores and what it says about itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scoring import gbdt_scores
from tables import write_interactions

from thinkrec.baselines import gbdt
from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting
from thinkrec.config.sections import Baselines, Gbdt, Tuned
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError, MissingInputError
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.metrics.ranking import auc
from thinkrec.protocols import Protocol
from thinkrec.stages.baselines import fit_baselines

USERS, ROWS = 40, 24
OPTIONS: dict[str, Any] = {
    "learning_rate": 0.1,
    "max_leaf_nodes": 4,
    "l2_regularization": 1.0,
    "max_iter": 30,
}
SMALL = Baselines(seeds=2, gbdt=Gbdt(**OPTIONS))


def write_board(layout: Layout, **other: Any) -> None:
    """A checkerboard of parities, a tenth of its labels turned: 16 train rows a user, 4 valid, 4 test."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, USERS + 1), ROWS)
    odd = np.where(rng.random(len(user)) < 0.8, user % 2, 1 - user % 2)
    item = 2 * rng.integers(1, 13, len(user)) - odd
    columns = {
        "user_id": user, "item_id": item,
        "label": ((user % 2 == item % 2) ^ (rng.random(len(user)) < 0.1)).astype(int),
        "timestamp": np.tile(np.arange(ROWS), USERS), "position": np.tile(np.arange(ROWS), USERS),
        "split": np.tile(np.repeat(["train", "valid", "test"], [16, 4, 4]), USERS),
        "not_cold": np.ones(len(user), dtype=bool),
    }  # fmt: skip
    layout.data.mkdir(parents=True, exist_ok=True)
    write_interactions(layout.interactions, pa.table(columns | other))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("board", tmp_path)
    write_board(made)
    return made


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_keeps_the_trees_and_says_how_they_came_about(layout: Layout, protocol: Protocol) -> None:
    facts = fit_baselines(layout, SMALL, 7, protocol)
    files = ["7.safetensors", "8.safetensors", "config.json"]
    assert sorted(path.name for path in layout.baselines.iterdir()) == files
    data = Interactions.load(layout.interactions)
    rows = np.flatnonzero(data.split > 0)
    matrix = features(data, rows, protocol)[0]
    valid = data.split[rows] == 1
    assert list(facts) == ["seed_7", "seed_8"]
    for seed, told in facts.items():
        score = gbdt.Gbdt.load(layout.baselines / f"{seed[5:]}.safetensors").score(matrix)
        expected = gbdt_scores(data, rows, Boosting(**OPTIONS), int(seed[5:]), protocol)
        np.testing.assert_array_equal(score, expected)
        assert told["valid_auc"] == pytest.approx(auc(data.label[rows][valid], score[valid]), abs=1e-6)
        assert 1 <= told["rounds"] <= 30


def test_config_names_every_feature_most_important_first(layout: Layout) -> None:
    facts = fit_baselines(layout, SMALL, 7, "train")
    config = read_json(layout.baselines / "config.json")
    assert config["choose_by"] == "train" and config["options"] == OPTIONS and config["seeds"] == facts
    losses = [each["loss"] for each in config["importance"]]
    assert losses == sorted(losses, reverse=True) and losses[0] > 0.005
    names = features(Interactions.load(layout.interactions), np.arange(2), "train")[1]
    assert sorted(each["feature"] for each in config["importance"]) == sorted(names)
    # Similar items tell what is liked on a checkerboard.
    assert {each["feature"] for each in config["importance"][:5]} & {"verdict", "verdict_mean", "agreement"}


def test_the_same_again_gives_the_same_bytes(layout: Layout) -> None:
    def written() -> list[bytes]:
        fit_baselines(layout, SMALL, 7, "rolling")
        return [path.read_bytes() for path in sorted(layout.baselines.iterdir())]

    assert written() == written()


def test_tuned_values_go_first(layout: Layout) -> None:
    tuned = Tuned(gbdt=Gbdt(**OPTIONS | {"max_iter": 3}))
    fit_baselines(layout, SMALL, 7, "rolling", tuned)
    assert read_json(layout.baselines / "config.json")["options"]["max_iter"] == 3


def test_one_class_leaves_the_old_output(layout: Layout) -> None:
    fit_baselines(layout, SMALL, 7, "rolling")
    before = (layout.baselines / "7.safetensors").read_bytes()
    write_board(layout, label=np.ones(USERS * ROWS, dtype=int))
    with pytest.raises(
        DataError, match=r"^split train has 640 likes in 640 rows; likes and dislikes are needed"
    ):
        fit_baselines(layout, SMALL, 7, "rolling")
    assert (layout.baselines / "7.safetensors").read_bytes() == before


def test_needs_interactions(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="`thinkrec prep --dataset board` makes it"):
        fit_baselines(Layout("board", tmp_path), SMALL, 7, "rolling")

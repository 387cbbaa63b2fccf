"""Stages cf and cluster: from prepared tables to encoders and groups."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tables import write_interactions

from thinkrec import progress
from thinkrec.artifacts.marks import WHOLE
from thinkrec.cf import trainer
from thinkrec.cf.tensors import load_vectors
from thinkrec.config.sections import Cf, Cluster, EncoderChoice, Params, Tuned
from thinkrec.errors import ConfigError, MissingInputError, ModelError, StorageError
from thinkrec.experts.cluster import cluster_users
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.stages import cf as cf_stage

USERS, ITEMS, ROWS = 40, 24, 24
SMALL: dict[str, Any] = {
    "models": ["mf", "lightgcn", "sasrec"], "seeds": 1,
    "encoders": {
        "mf": {"embedding_size": 8, "weight_decay": 2e-4},
        "lightgcn": {"embedding_size": 8, "weight_decay": 4e-5},
        "sasrec": {"embedding_size": 8},
    },
    "batch_size": 128, "epochs": 6, "patience": 3, "history_length": 8,
}  # fmt: skip
CF = Cf(**SMALL)


def train_encoders(layout: Layout, cf: Cf, seed: int = 1, tuned: Tuned | None = None) -> dict[str, Any]:
    return cf_stage.train_encoders(
        layout, Params(seed=seed, cf=cf, tuned={} if tuned is None else {layout.dataset: tuned})
    )


def write_board(layout: Layout) -> None:
    """A checkerboard of parities: 16 train rows a user, 4 valid, 4 test; one user more than train holds."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, USERS + 1), ROWS)
    alike = rng.random(len(user)) < 0.8
    item = 2 * rng.integers(1, ITEMS // 2 + 1, len(user)) - np.where(alike, user % 2, 1 - user % 2)
    columns = {
        "user_id": user, "item_id": item, "label": (user % 2 == item % 2).astype(int),
        "timestamp": np.arange(len(user)), "position": np.tile(np.arange(ROWS), USERS),
        "split": np.tile(np.repeat(["train", "valid", "test"], [16, 4, 4]), USERS),
        "not_cold": np.ones(len(user), dtype=bool),
    }  # fmt: skip
    layout.data.mkdir(parents=True)
    write_interactions(layout.interactions, pa.table(columns))
    pq.write_table(pa.table({"user_id": np.arange(1, USERS + 2)}), layout.users)
    pq.write_table(pa.table({"item_id": np.arange(1, ITEMS + 1)}), layout.items)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("board", tmp_path)
    write_board(made)
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    made = Layout("board", tmp_path_factory.mktemp("trained"))
    write_board(made)
    train_encoders(made, CF)
    return made


def weights(layout: Layout) -> dict[str, dict[str, torch.Tensor]]:
    return {name: load_file(layout.encoder(name) / "model.safetensors") for name in CF.models}


def assert_same(one: Layout, other: Layout) -> None:
    for name, tensors in weights(one).items():
        for key, value in load_file(other.encoder(name) / "model.safetensors").items():
            assert torch.equal(tensors[key], value), (name, key)
    assert one.curve("cf").read_bytes() == other.curve("cf").read_bytes()


def test_writes_encoders_and_curve_and_leaves_no_work(layout: Layout) -> None:
    facts = train_encoders(layout, CF)
    assert list(facts) == ["mf", "lightgcn", "sasrec"]
    for name, told in facts.items():
        assert set(told) == {"best_epoch", "epochs", "valid_auc"} and 0 < told["valid_auc"] <= 1
        assert told["best_epoch"] <= told["epochs"] <= 6
        vectors = load_vectors(layout.encoder(name))
        assert vectors.user.shape == (USERS + 2, 10) and vectors.item.shape == (ITEMS + 1, 10)
        assert vectors.known_user.tolist() == [False, *[True] * USERS, False]
    assert sorted(path.name for path in layout.encoder("mf").iterdir()) == [
        "config.json", "model.safetensors", "vectors.safetensors",
    ]  # fmt: skip
    rows = list(csv.DictReader(layout.curve("cf").open(encoding="utf-8")))
    assert list(rows[0]) == ["model", "epoch", "series", "value"]
    assert {row["series"] for row in rows} == {"train_loss", "valid_loss", "valid_auc"}
    best = max(float(row["value"]) for row in rows if row["model"] == "mf" and row["series"] == "valid_auc")
    assert best == facts["mf"]["valid_auc"] == read_json(layout.encoder("mf") / "config.json")["valid_auc"]
    assert not layout.work("cf").exists()


def test_a_log_says_how_long_all_trainings_take(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All encoders once, then with the next seed; what an earlier run finished is not in the estimate."""
    fit, fitted, now = trainer.fit, [], [1000.0]

    def slow(model: Any, data: Any, schedule: Any, seed: int, choose_by: Any, checkpoint: Any) -> Any:
        if fitted == [("mf", 1)]:
            fitted.clear()
            raise KeyboardInterrupt
        fitted.append((model.name, seed))
        found = fit(model, data, schedule, seed, choose_by, checkpoint)
        now[0] += {"mf": 20, "lightgcn": 60, "sasrec": 100}[model.name]
        return found

    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    monkeypatch.setattr(trainer, "fit", slow)
    cf = Cf(**SMALL | {"seeds": 2})
    with pytest.raises(KeyboardInterrupt):
        train_encoders(layout, cf)
    capsys.readouterr()
    train_encoders(layout, cf)
    assert fitted == [("lightgcn", 1), ("sasrec", 1), ("mf", 2), ("lightgcn", 2), ("sasrec", 2)]
    assert capsys.readouterr().err.splitlines() == [
        "cf: 2 of 6 trainings, about 4 min left",
        "cf: 3 of 6 trainings, about 4 min left",
        "cf: 5 of 6 trainings, about 60 s left",
        "cf: 6 of 6 trainings, took 6 min",
    ]


def test_encoders_no_longer_wanted_are_gone(layout: Layout) -> None:
    train_encoders(layout, CF)
    train_encoders(layout, Cf(**SMALL | {"models": ["mf"]}))
    assert [path.name for path in layout.encoder("mf").parent.iterdir()] == ["mf"]


def test_finished_encoders_of_an_unfinished_stage_are_kept(
    layout: Layout, trained: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, fitted = trainer.fit, []

    def stopped(model: Any, *rest: Any) -> Any:
        fitted.append(model.name)
        if fitted == ["mf", "lightgcn"]:
            raise KeyboardInterrupt
        return fit(model, *rest)

    monkeypatch.setattr(trainer, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_encoders(layout, CF)
    assert not layout.encoder("mf").exists()
    train_encoders(layout, CF)
    assert fitted == ["mf", "lightgcn", "lightgcn", "sasrec"]
    assert_same(layout, trained)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "vectors flipped": lambda folder: flip(folder / "vectors.safetensors"),
    "weights cut": lambda folder: os.truncate(folder / "model.safetensors", 100),
    "config.json emptied": lambda folder: os.truncate(folder / "config.json", 0),
    "curve.json cut": lambda folder: os.truncate(folder / "curve.json", 20),
    "curve.json gone": lambda folder: (folder / "curve.json").unlink(),
    "a pipe as whole.json": lambda folder: ((folder / WHOLE).unlink(), os.mkfifo(folder / WHOLE)),
    "never marked": lambda folder: (folder / WHOLE).unlink(),
    "a file for the folder": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_finished_encoder_that_was_damaged_is_trained_again(
    layout: Layout, trained: Layout, monkeypatch: pytest.MonkeyPatch, damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    fit, fitted = trainer.fit, []

    def stopped(model: Any, *rest: Any) -> Any:
        fitted.append(model.name)
        if fitted == ["mf", "lightgcn"]:
            raise KeyboardInterrupt
        return fit(model, *rest)

    monkeypatch.setattr(trainer, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_encoders(layout, CF)
    (folder,) = layout.work("cf").glob("mf-*")
    DAMAGE[damage](folder)
    train_encoders(layout, CF)
    assert fitted == ["mf", "lightgcn", "mf", "lightgcn", "sasrec"]
    assert f"{folder} is damaged: mf, seed 1, is trained again" in caplog.text
    assert_same(layout, trained)


@pytest.mark.parametrize("change", ["seed", "parameters", "data"])
def test_work_of_another_configuration_is_not_taken_up(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    fit, fitted = trainer.fit, []

    def stopped(model: Any, *rest: Any) -> Any:
        fitted.append(model.name)
        if fitted == ["mf", "lightgcn"]:
            raise KeyboardInterrupt
        return fit(model, *rest)

    monkeypatch.setattr(trainer, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_encoders(layout, CF)
    if change == "data":
        table = pq.read_table(layout.interactions)
        pq.write_table(table.slice(0, len(table) - 1), layout.interactions)
    other = Cf(**SMALL | {"batch_size": 64}) if change == "parameters" else CF
    train_encoders(layout, other, 2 if change == "seed" else 1)
    assert fitted[2:] == ["mf", "lightgcn", "sasrec"]


SLOW_RUN = """
import sys, time
from pathlib import Path
from thinkrec.cf import checkpoint
from thinkrec.config.sections import Cf, Params
from thinkrec.layout import Layout
from thinkrec.stages.cf import train_encoders
save = checkpoint.Checkpoint.save
def saved(self, *rest):
    self.seconds = 0
    save(self, *rest)
    time.sleep(0.1)
checkpoint.Checkpoint.save = saved
params = Params.model_validate({"seed": 1, "cf": Cf.model_validate_json(sys.argv[2])})
train_encoders(Layout("board", Path(sys.argv[1])), params)
"""


@pytest.mark.slow
def test_killed_for_good_and_run_again(layout: Layout, trained: Layout) -> None:
    """kill -9 while SASRec trains; the same call again ends with the very bytes of a run that was let be."""
    command = [sys.executable, "-c", SLOW_RUN, str(layout.root), CF.model_dump_json()]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())})
    reached = layout.work("cf") / "sasrec-1.safetensors"
    deadline = time.monotonic() + 120
    while not reached.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert reached.exists() and not layout.encoder("mf").exists() and not layout.curve("cf").exists()
    train_encoders(layout, CF)
    assert not layout.work("cf").exists()
    assert_same(layout, trained)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_that_fills_up(layout: Layout, trained: Layout) -> None:
    """One sentence, nothing half-written, then on it goes."""
    with full_disk(1000), pytest.raises(StorageError, match=r"^cannot write .*: file too large; free space"):
        train_encoders(layout, CF)
    assert not layout.encoder("mf").exists() and not list(layout.work("cf").iterdir())
    train_encoders(layout, CF)
    assert_same(layout, trained)
    with full_disk(100), pytest.raises(StorageError, match=r"^cannot write .*clusters: file too large"):
        cluster_users(layout, Cluster(encoder="mf"), seed=1)
    assert not layout.clusters.exists()


def test_before_prep(tmp_path: Path) -> None:
    made = Layout("board", tmp_path)
    with pytest.raises(MissingInputError) as caught:
        train_encoders(made, CF)
    assert (
        str(caught.value) == f"{made.interactions} is not there yet: `thinkrec prep --dataset board` makes it"
    )


def test_further_seeds_lie_beside_the_first_and_change_nothing_of_it(layout: Layout, trained: Layout) -> None:
    train_encoders(layout, Cf(**SMALL | {"seeds": 3}))
    assert_same(layout, trained)
    for name in CF.models:
        seeds = layout.encoder(name) / "seeds"
        assert sorted(folder.name for folder in seeds.iterdir()) == ["2", "3"]
        drawn = [load_file(folder / "model.safetensors") for folder in (layout.encoder(name), seeds / "2")]
        assert not all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])
        config = read_json(seeds / "3" / "config.json")
        assert (config["seed"], config["encoder"]) == (3, name)
    other = Layout("board", layout.root / "other")
    write_board(other)
    train_encoders(other, CF, 2)
    own, further = (
        load_file(path / "model.safetensors")
        for path in (other.encoder("mf"), layout.encoder("mf") / "seeds" / "2")
    )
    assert all(torch.equal(own[key], further[key]) for key in own)


def test_what_a_search_chose_goes_before_the_section(layout: Layout) -> None:
    choice = EncoderChoice(embedding_size=4, learning_rate=0.02, weight_decay=0.5)
    train_encoders(layout, CF, 1, Tuned(cf={"lightgcn": choice}))
    found = {name: read_json(layout.encoder(name) / "config.json") for name in CF.models}
    assert [found[name]["shape"]["width"] for name in CF.models] == [8, 4, 8]
    assert found["lightgcn"]["schedule"]["learning_rate"] == 0.02
    assert found["lightgcn"]["schedule"]["weight_decay"] == 0.5


class TestCluster:
    @pytest.mark.parametrize("method", ["ward", "kmeans"])
    def test_finds_the_parities(self, trained: Layout, method: Any) -> None:
        facts = cluster_users(trained, Cluster(encoder="lightgcn", method=method, groups=2), seed=1)
        assert facts == read_json(trained.clusters / "clusters.json")
        assert sum(facts["sizes"]) == USERS and facts["cohens_d"] > 1
        table = pq.read_table(trained.clusters / "groups.parquet").to_pydict()
        assert table["user_id"] == list(range(1, USERS + 1))
        assert [table["group"].count(number) for number in (1, 2)] == facts["sizes"]

    def test_means_are_of_raw_vectors_without_the_constant_column(self, trained: Layout) -> None:
        cluster_users(trained, Cluster(encoder="mf", groups=3), seed=1)
        means = load_file(trained.clusters / "means.safetensors")["means"]
        table = pq.read_table(trained.clusters / "groups.parquet").to_pydict()
        vectors = load_vectors(trained.encoder("mf"))
        users = [u for u, g in zip(table["user_id"], table["group"], strict=True) if g == 2]
        assert means.shape == (3, 10) and means.dtype == torch.float32
        torch.testing.assert_close(means[1, :9], vectors.user[users].mean(0)[:9])
        assert not means[:, 9].any() and (vectors.user[users, 9] == 1).all()

    def test_one_group(self, trained: Layout) -> None:
        facts = cluster_users(trained, Cluster(encoder="mf", groups=1), seed=1)
        assert facts == {"encoder": "mf", "method": "ward", "sizes": [USERS], "cohens_d": None}

    def test_more_groups_than_users_leaves_what_was(self, trained: Layout) -> None:
        cluster_users(trained, Cluster(encoder="mf", groups=2), seed=1)
        with pytest.raises(
            ConfigError, match=r"^cluster\.groups is 41, but 40 users have a vector: lower it$"
        ):
            cluster_users(trained, Cluster(encoder="mf", groups=41), seed=1)
        assert len(read_json(trained.clusters / "clusters.json")["sizes"]) == 2

    def test_before_cf_and_with_a_corrupt_encoder(self, layout: Layout) -> None:
        with pytest.raises(MissingInputError) as caught:
            cluster_users(layout, Cluster(encoder="mf"), seed=1)
        folder = layout.encoder("mf")
        assert str(caught.value) == f"{folder} is not there yet: `thinkrec cf --dataset board` makes it"
        folder.mkdir(parents=True)
        with pytest.raises(ModelError, match=r"config\.json can't be read .* run `thinkrec cf` again$"):
            cluster_users(layout, Cluster(encoder="mf"), seed=1)

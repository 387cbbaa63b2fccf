"""Encoders that know valid or test, and encoders that do not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_chain import Chain
from tamper import claim

from thinkrec.audit import retrain, vectors
from thinkrec.audit.retrain import difference, train_again
from thinkrec.audit.spoil import held_out, spoiled
from thinkrec.audit.vectors import check_vectors, encoders
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS, save_encoder
from thinkrec.cf.trainer import Schedule, fit
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol

NAMES = ("lightgcn", "mf", "sasrec")


def train_on(layout: Layout, name: str, data: Interactions, choose_by: Protocol = "frozen") -> None:
    """Put an encoder of the same configuration, trained on other rows, in the place of the one on disk."""
    folder, epochs = layout.encoder(name), 2
    config = read_json(folder / "config.json")
    assert config["choose_by"] == "frozen"
    schedule = replace(Schedule(**config["schedule"]), epochs=epochs, patience=epochs)
    users, items = config["user_shape"][0] - 1, config["item_shape"][0] - 1
    model = ENCODERS[name](Shape(**config["shape"]), Known.of(data, users, items), config["seed"])
    progress = fit(model, data, schedule, config["seed"], choose_by)
    shutil.rmtree(folder)
    facts = {"best_epoch": progress.best_epoch, "epochs": epochs, "valid_auc": progress.best_auc}
    said = retrain._settled(model, data, choose_by)
    facts |= {"schedule": vars(schedule), "seed": config["seed"], "choose_by": choose_by} | (
        {"settled": said} if said else {}
    )
    save_encoder(folder, model, data, facts)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_stage_trained_comes_out_equal_in_every_bit(chain: Chain, name: str) -> None:
    data = Interactions.load(chain.layout.interactions)
    checks = check_vectors(chain.layout, data, name, chain.params.seed)
    assert [check.verdict for check in checks] == ["passed"] * 5
    assert checks[3].claim == f"{name}, seed 8: trained without valid and test"
    checks = [checks[0], checks[2]]
    epochs = read_json(chain.layout.encoder(name) / "config.json")["best_epoch"]
    said = f"{epochs} epochs trained again with valid and test spoiled: equal in every bit"
    assert checks[1].said == said and checks[1].figures == {"difference": 0.0}


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_that_learned_from_test_labels(layout: Layout, table: Interactions, name: str) -> None:
    late = np.where(table.split == 2, 0, table.split).astype(np.int8)
    late[table.rows("test")[0]] = 2
    train_on(layout, name, replace(table, split=late), "rolling")  # splits lie across each other
    check = claim(check_vectors(layout, table, name), f"{name}: trained")
    assert check.verdict == "FAILED"
    assert check.said.startswith(
        "config.json and train's rows give other vectors, with valid and test as without"
    )
    assert check.said.endswith("these come from other data or code; run `thinkrec cf` again")


@pytest.fixture
def labelled(layout: Layout, table: Interactions, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A label-aware encoder whose share is one that valid alone leads to."""
    monkeypatch.setattr("thinkrec.cf.labelled.best_damping", lambda _, label, *__: round(label.mean() / 2, 3))
    folder = shutil.copytree(layout.encoder("sasrec"), layout.encoder("sasrec_labels"))
    train_on(layout, "sasrec_labels", table)
    return Path(folder)


def test_what_valid_may_choose_beside_the_epoch(layout: Layout, table: Interactions, labelled: Path) -> None:
    checks = check_vectors(layout, table, "sasrec_labels")
    assert [check.verdict for check in checks] == ["passed"] * 3
    assert checks[2].figures == {"difference": 0.0}


def test_a_share_that_valid_does_not_lead_to(layout: Layout, table: Interactions, labelled: Path) -> None:
    weights = load_file(labelled / "model.safetensors")
    assert float(weights.pop("damping")) > 0.2
    weights["damping"] = torch.tensor(0.123)
    save_file(weights, labelled / "model.safetensors")
    check = claim(check_vectors(layout, table, "sasrec_labels"), "sasrec_labels: trained")
    assert check.verdict == "FAILED"


def test_item_statistics_that_know_valid_and_test(
    layout: Layout, table: Interactions, labelled: Path
) -> None:
    """A count off by one is no rounding."""
    weights = load_file(labelled / "model.safetensors")
    weights["counts"][1, 1] += 1
    save_file(weights, labelled / "model.safetensors")
    check = claim(check_vectors(layout, table, "sasrec_labels"), "sasrec_labels: trained")
    assert check.verdict == "FAILED" and check.figures["difference"] > 1e6


def test_a_trainer_that_reads_test_rows(
    layout: Layout, table: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leak is in the code: the vectors can be made again, but change with the held-out rows."""
    examples = ENCODERS["mf"].examples

    def everything(self: object, data: Interactions) -> object:
        return examples(self, replace(data, split=np.zeros_like(data.split)))  # type: ignore[arg-type]

    monkeypatch.setattr(ENCODERS["mf"], "examples", everything)
    train_on(layout, "mf", table)
    config = read_json(layout.encoder("mf") / "config.json")
    epochs = {"best_epoch": 2, "schedule": config["schedule"] | {"epochs": 2}}
    write_json(layout.encoder("mf") / "config.json", config | epochs)
    check = claim(check_vectors(layout, table, "mf"), "mf: trained")
    assert check.verdict == "FAILED"
    assert check.said.startswith("valid or test rows change the vectors, by ")
    assert check.figures["leak"] > 0


def test_weights_that_vectors_do_not_show(layout: Layout, table: Interactions) -> None:
    path = layout.encoder("sasrec") / "model.safetensors"
    weights = load_file(path)
    weights["position"] = weights["position"] + 0.5
    save_file(weights, path)
    check = claim(check_vectors(layout, table, "sasrec"), "sasrec: trained")
    assert check.verdict == "FAILED"


def test_a_vector_of_a_user_that_train_lacks(layout: Layout, table: Interactions) -> None:
    user = int(table.user_id[0])
    without = replace(table, split=np.where(table.user_id == user, 2, table.split).astype(np.int8))
    check = claim(check_vectors(layout, without, "mf"), "train's users and items only")
    assert check.verdict == "FAILED"
    assert f"1 users have a vector and no train row, the first at id {user}" in check.said


def test_another_machine_and_a_gpu() -> None:
    judge = vectors._apart
    assert judge("c", "s: ", 1e-4, 0.0, None).verdict == "passed"
    assert judge("c", "s: ", 1e-4, 0.0, None).said == (
        "s: off by 0.0001 of their length, within 0.02, as with other sums: another machine, or another "
        "count of threads"
    )
    assert judge("c", "s: ", 1e-4, 1e-4, None).verdict == "FAILED"
    assert judge("c", "s: ", 0.03, 0.0, None).verdict == "FAILED"
    assert judge("c", "s: ", 1e-4, 1e-4, "H100").verdict == "passed"
    assert judge("c", "s: ", 0.03, 0.0, "H100").said == (
        "off by 0.03 of their length; trained on H100, whose sums can't be repeated: train on a CPU to prove "
        "it"
    )


def test_difference() -> None:
    one = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([0])}
    assert difference(one, {key: value.clone() for key, value in one.items()}) == 0
    assert difference(one, one | {"a": torch.tensor([3.0, 3.5])}) == pytest.approx(0.1)
    assert difference(one, one | {"b": torch.tensor([1])}) == 1e9
    assert difference(one, one | {"a": torch.tensor([3.0, 4 + 1e-30])}) == 0
    assert (
        difference(one, {"a": one["a"]}) == difference(one, one | {"a": torch.tensor([1.0, np.nan])}) == 1e9
    )


def test_as_many_threads_as_config_says(
    layout: Layout, table: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, before = [], torch.get_num_threads()

    def watched(*args: object, **options: object) -> object:
        seen.append(torch.get_num_threads())
        return fit(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(retrain, "fit", watched)
    path = layout.encoder("mf") / "config.json"
    write_json(path, read_json(path) | {"threads": before + 1})
    check_vectors(layout, table, "mf")
    assert seen[0] == before + 1 and torch.get_num_threads() == before


def test_a_config_of_an_older_version(layout: Layout, table: Interactions) -> None:
    path = layout.encoder("mf") / "config.json"
    config = read_json(path)
    del config["seed"]
    write_json(path, config)
    check = claim(check_vectors(layout, table, "mf"), "mf: trained")
    assert check.verdict == "not applicable"
    assert check.said == f"{path.parent}: config.json lacks seed: run `thinkrec cf` again"


def test_encoders_found(layout: Layout, tmp_path: Path) -> None:
    assert set(NAMES) <= set(encoders(layout))
    assert encoders(Layout("none", tmp_path)) == []


def test_spoiled_valid_does_not_stop_the_second_training(chain: Chain) -> None:
    """Patience is as long as the training, so that a worthless valid AUC ends nothing."""
    data = Interactions.load(chain.layout.interactions)
    config = read_json(chain.layout.encoder("mf") / "config.json")
    config |= {"best_epoch": 12, "schedule": config["schedule"] | {"epochs": 12}}
    again = train_again(spoiled(data, held_out(data)), config, data)
    assert difference(again.tensors, train_again(data, config, data).tensors) == 0
    other = train_again(data, config | {"best_epoch": 11}, data)
    assert difference(again.tensors, other.tensors) > 0
    assert again.best_epoch == other.best_epoch and len(again.curve) == 36

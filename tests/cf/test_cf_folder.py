"""A folder that can't be used says so."""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scoring import encoder_scores

from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import load_encoder, save_encoder
from thinkrec.cf.lightgcn import LightGCN
from thinkrec.cf.tensors import load_vectors
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError

AGAIN = "run `thinkrec cf` again"


@pytest.fixture(scope="module")
def saved(board: Interactions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder") / "lightgcn"
    save_encoder(folder, LightGCN(Shape(4), Known.of(board, 60, 40), 1), board, {"valid_auc": 0.5})
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "lightgcn"))


def test_config_says_what_the_encoder_is(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["encoder"] == "lightgcn" and config["valid_auc"] == 0.5
    assert config["shape"] == asdict(Shape(4))
    assert config["user_shape"] == [61, 6] and config["item_shape"] == [41, 6]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "model.safetensors", "vectors.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vectors.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff" * 40])
def test_missing_or_corrupt_file(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    read = load_encoder if name == "model.safetensors" else load_vectors
    with pytest.raises(ModelError) as caught:
        read(folder)
    said = str(caught.value)
    assert str(folder) in said and name in said and "can't be read" in said and said.endswith(AGAIN)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"encoder": "gru"},
            "config.json names encoder 'gru', must be one of mf, mf_no_biases, lightgcn, sas",
        ),
        ({"encoder": "sasrec"}, "model.safetensors does not fit config.json"),
        ({"shape": {"width": 5}}, "model.safetensors does not fit config.json"),
        ({"shape": {"wide": 5}}, "model.safetensors does not fit config.json"),
        ({"mean": None}, "config.json lacks mean"),
    ],
)
def test_config_that_does_not_fit(folder: Path, change: dict[str, object], expected: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")
    with pytest.raises(ModelError, match=re.escape(f"{folder}: {expected}") + ".*" + re.escape(AGAIN)):
        load_encoder(folder)


def test_vectors_of_another_encoder(folder: Path) -> None:
    save_file({"user": torch.ones(3, 6), "item": torch.ones(41, 6)}, folder / "vectors.safetensors")
    with pytest.raises(ModelError) as caught:
        load_vectors(folder)
    assert str(caught.value) == (
        f"{folder}: vectors.safetensors holds user [3, 6], item [41, 6], config.json says user [61, 6], "
        f"item [41, 6]; {AGAIN}"
    )


def test_vectors_that_are_not_finite(folder: Path) -> None:
    tensors = load_file(folder / "vectors.safetensors")
    tensors["user"][3, 0] = torch.nan
    save_file(tensors, folder / "vectors.safetensors")
    with pytest.raises(
        ModelError, match=r"not finite; lower its learning_rate in params.yaml and run `thinkrec cf` again$"
    ):
        load_vectors(folder)


@pytest.mark.parametrize("kind", ["user", "item"])
def test_interactions_with_more_ids_than_the_encoder(folder: Path, board: Interactions, kind: str) -> None:
    columns = {name: np.array([1]) for name in ("label", "timestamp", "split", "not_cold")}
    ids = {"user_id": np.array([1]), "item_id": np.array([1])} | {f"{kind}_id": np.array([99])}
    data = Interactions(**ids, **columns, position=np.array([0]))
    held = {"user": 60, "item": 40}[kind]
    with pytest.raises(ModelError) as caught:
        encoder_scores(folder, data, np.array([0]))
    assert str(caught.value) == (
        f"{folder} was trained on data with {held} {kind}s, the interactions name {kind} 99: {AGAIN}"
    )

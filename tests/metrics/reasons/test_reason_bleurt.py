"""BLEURT under today's transformers against golden values of the untouched package; damaged checkpoints."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import bleurt_equal
import pytest
import torch

from thinkrec.errors import ModelError
from thinkrec.metrics.reasons.bleurt import Bleurt, find_folder
from thinkrec.metrics.reasons.measure import Tools
from thinkrec.metrics.reasons.names import BLEURT_20

KEPT = json.loads(bleurt_equal.GOLDEN.read_text(encoding="utf-8"))
FIRST, SECOND = ([pair[k] for pair in KEPT["pairs"]] for k in (0, 1))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bleurt_equal.make_checkpoint(tmp_path_factory.mktemp("bleurt"))


@pytest.fixture(scope="module")
def bleurt(checkpoint: Path) -> Bleurt:
    return Bleurt(checkpoint)


def test_equals_the_untouched_package(bleurt: Bleurt) -> None:
    """Ten pairs in one batch, so that all but the longest are padded; two are cut to 64 tokens."""
    pairs = bleurt.encode(FIRST, SECOND)
    ids = [row[: sum(mask)] for row, mask in zip(pairs.ids.tolist(), pairs.mask.tolist(), strict=True)]
    assert ids == KEPT["ids"] and KEPT["transformers"] == "4.57.6"
    assert len(set(map(len, ids))) > 5 and max(map(len, ids)) == 64
    assert bleurt.score(FIRST, SECOND) == pytest.approx(KEPT["logits"], abs=1e-5)
    assert max(KEPT["logits"]) - min(KEPT["logits"]) > 0.1


def test_batches_and_order_change_nothing(bleurt: Bleurt) -> None:
    alone = [bleurt.score([one], [other])[0] for one, other in zip(FIRST, SECOND, strict=True)]
    assert alone == pytest.approx(KEPT["logits"], abs=1e-5)
    twice = bleurt.score(FIRST[::-1] * 3, SECOND[::-1] * 3)  # 30 pairs, two batches
    assert twice == pytest.approx(KEPT["logits"][::-1] * 3, abs=1e-5)
    assert bleurt.score([], []) == []


def test_safetensors_are_taken_first(bleurt: Bleurt, tmp_path: Path) -> None:
    folder = bleurt_equal.make_checkpoint(tmp_path, safetensors=True)
    (folder / "pytorch_model.bin").write_bytes(b"no pickle")
    assert Bleurt(folder).score(FIRST, SECOND) == bleurt.score(FIRST, SECOND)


AS_IT_WAS = """
import sys
from pathlib import Path
from transformers import PreTrainedModel, pytorch_utils
from thinkrec.metrics.reasons.bleurt import Bleurt

Bleurt(Path(sys.argv[1]))
assert getattr(pytorch_utils, "find_pruneable_heads_and_indices", 0) is not None
assert "transformers.models.bert.tokenization_bert_fast" not in sys.modules
assert "get_head_mask" not in vars(PreTrainedModel)
"""


def test_transformers_stays_as_it_was(checkpoint: Path) -> None:
    """In a process of its own, since transformers itself makes that module for some tokenizers."""
    subprocess.run([sys.executable, "-c", AS_IT_WAS, str(checkpoint)], check=True)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil"),))  # type: ignore[return-value]


def test_no_code_of_a_checkpoint_runs(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("config.json", "spm.model"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    torch.save({"weight": Evil()}, tmp_path / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(ModelError, match="can't be read as this model's weights"):
        Bleurt(tmp_path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("spm.model", "has no spm.model: name the folder of a checkpoint with sentencepiece"),
        ("config.json", "has no config.json"),
        ("pytorch_model.bin", "has no weights, neither model.safetensors nor pytorch_model.bin"),
    ],
)
def test_a_missing_file_is_named(checkpoint: Path, tmp_path: Path, lost: str, words: str) -> None:
    for path in checkpoint.iterdir():
        if path.name != lost:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=words):
        Bleurt(tmp_path)


def test_weights_of_another_model_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    weights.pop("classifier.bias")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"is not of this model: classifier\.bias and 0 more"):
        Bleurt(tmp_path)


def test_what_is_absent_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Tools.load(tmp_path, tmp_path / "none", None)
    assert isinstance(nothing.bleurt, str) and BLEURT_20 in nothing.bleurt
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = Tools.load(tmp_path, tmp_path / "none", str(tmp_path)).bleurt
    assert isinstance(found, str) and found.startswith(f"evaluate.bleurt: {tmp_path} has no config.json")
    with pytest.raises(ModelError, match="no/such is no folder, and the hub does not give it"):
        find_folder("no/such")

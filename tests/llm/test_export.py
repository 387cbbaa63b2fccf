"""Exported weights score as the adapter does here, whoever loads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import bpe_of_words, prompts, random_model, write_adapter
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.llm import export as room
from thinkrec.llm.adapter import load_peft
from thinkrec.llm.backbone import Backbone, load_backbone, load_tokenizer
from thinkrec.llm.bank import read_adapter
from thinkrec.llm.export import (
    LOST,
    TOLERANCE,
    Parity,
    Prompts,
    check_tokens,
    export_adapter,
    merge,
    plain_scores,
    write_merged,
)
from thinkrec.llm.loss import Score
from thinkrec.prompts.render import PromptWriter
from thinkrec.prompts.tokens import ITEM_TOKEN, USER_TOKEN

BASE: dict[str, str | None] = {"base_model_name_or_path": "somewhere/model", "revision": "main"}


def noted(folder: Path, model: Path, dtype: str) -> Path:
    write_json(folder / "backbone.json", {"model": str(model), "revision": None, "dtype": dtype})
    return folder


@pytest.fixture
def rope(tmp_path: Path) -> Path:
    """A model whose rope is none of any library's defaults."""
    tokenizer = bpe_of_words()
    model = random_model("mistral", len(tokenizer))
    model.config.rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0}
    model.save_pretrained(tmp_path / "rope")
    tokenizer.save_pretrained(tmp_path / "rope")
    return tmp_path / "rope"


def parity_prompts(backbone: Backbone, items: Items, data: Interactions, kind: Score) -> Prompts:
    examples = prompts(backbone, items, data)
    writer = PromptWriter(items, Prompt(history_length=4, keywords=3), backbone.tokenizer)
    return Prompts(writer.texts(data, np.array([example.row for example in examples])), examples, kind)


@pytest.mark.parametrize("kind", ["yes_logit", "yes_minus_no"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_written_folders_score_as_the_adapter_does(
    rope: Path, items: Items, data: Interactions, tmp_path: Path, kind: Score, dtype: str
) -> None:
    folder = noted(tmp_path / "noted", rope, dtype)
    adapter = write_adapter(tmp_path / "adapter", load_backbone(folder), 1)
    backbone, tokenizer, out = load_backbone(folder), load_tokenizer(folder), tmp_path / "out"
    asked = parity_prompts(backbone, items, data, kind)
    parity = export_adapter(out, backbone, tokenizer, adapter, BASE, asked, 5)
    parity.check()
    found = parity.differences()
    assert parity.tolerance == TOLERANCE[getattr(torch, dtype)]
    assert found["bare"] > 0.5 > 4 * max(found["merged"], found["peft"])
    assert np.ptp(parity.thinkrec) > 0.1

    again = AutoTokenizer.from_pretrained(out / "merged")
    plain = AutoModelForCausalLM.from_pretrained(out / "merged")
    assert str(plain.dtype) == f"torch.{dtype}"
    assert len(again) <= plain.get_input_embeddings().weight.shape[0]  # no token without an embedding
    assert not {USER_TOKEN, ITEM_TOKEN} & set(again.get_vocab())
    assert again.chat_template == backbone.tokenizer.chat_template
    assert plain_scores(plain, again, asked.texts, backbone.answers, kind).tolist() == parity.merged.tolist()

    config = read_json(out / "adapter" / "adapter_config.json")
    assert config["base_model_name_or_path"] == "somewhere/model"
    assert config["revision"] == "main"
    config |= {"base_model_name_or_path": str(rope), "revision": None}
    write_json(out / "adapter" / "adapter_config.json", config)
    theirs = AutoPeftModelForCausalLM.from_pretrained(out / "adapter", dtype=dtype).eval()
    assert plain_scores(theirs, again, asked.texts, backbone.answers, kind).tolist() == parity.peft.tolist()


def test_nothing_written_names_a_place_of_this_machine(
    loaded: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", loaded, 1)
    asked = parity_prompts(loaded, items, data, "yes_logit")
    export_adapter(tmp_path / "out", loaded, loaded.tokenizer, adapter, BASE, asked, 5)
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} == {"merged", "adapter"}
    assert not [file.name for file in files if str(tmp_path.parent).encode() in file.read_bytes()]


def test_older_names_stand_beside_the_new_ones(rope: Path, tmp_path: Path) -> None:
    folder = noted(tmp_path / "noted", rope, "bfloat16")
    write_merged(tmp_path / "merged", load_backbone(folder), load_tokenizer(folder))
    config = read_json(tmp_path / "merged" / "config.json")
    assert (config["rope_theta"], config["torch_dtype"]) == (50.0, "bfloat16")
    assert config["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    assert config["rope_parameters"] == {"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0}
    said = read_json(tmp_path / "merged" / "tokenizer_config.json")
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_merging_rounds_once(loaded: Backbone, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", loaded, 1)
    name = "layers.0.self_attn.q_proj"
    before = loaded.model.model.get_submodule(name).weight.clone()
    weights = load_file(adapter / "adapter_model.safetensors")
    a, b = (weights[f"base_model.model.model.{name}.lora_{part}.weight"] for part in "AB")
    merge(loaded.model, adapter)
    found = loaded.model.model.get_submodule(name).weight
    torch.testing.assert_close(found, before + 4 * b @ a, rtol=0, atol=1e-6)  # alpha 16, rank 4

    coarse = loaded.model.bfloat16()
    before = coarse.model.get_submodule(name).weight.clone()
    merge(coarse, adapter)
    expected = (before.float() + 4 * b @ a).bfloat16()
    assert torch.equal(coarse.model.get_submodule(name).weight, expected)
    assert not torch.equal(expected, before + (4 * b @ a).bfloat16())  # the other order rounds twice


def parity(merged: float = 0.0, peft: float = 0.0, bare: float = 1.0, tolerance: float = 1e-4) -> Parity:
    own = np.array([1.0, -1.0])
    return Parity(own, *(own + np.array([0, -difference]) for difference in (merged, peft, bare)), tolerance)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (parity(merged=2e-4), "scores of merged differ by 0.0002 from thinkrec's, allowed are 0.0001 "),
        (parity(peft=0.3), "scores of peft differ by 0.3 from"),
        (parity(merged=0.1, bare=0.15, tolerance=0.25), "allowed are 0.075 .* by 0.15"),
        (parity(peft=0.25, tolerance=0.5), "peft differ on average by 0.125 .* allowed are 0.05 .* by 0.5"),
        (parity(merged=float("nan")), "scores of merged differ by nan"),
    ],
    ids=str,
)  # fmt: skip
def test_an_export_that_scores_otherwise_is_refused(found: Parity, words: str) -> None:
    parity(merged=9e-5, peft=9e-5).check()
    with pytest.raises(ModelError, match=words):
        found.check()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_export_that_loses_a_quarter_of_the_adapter_is_refused(
    rope: Path, items: Items, data: Interactions, tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = noted(tmp_path / "noted", rope, dtype)
    adapter = write_adapter(tmp_path / "adapter", load_backbone(folder), 1)
    backbone, tokenizer = load_backbone(folder), load_tokenizer(folder)

    def weaker(model: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {name: (a, 0.75 * b) for name, (a, b) in read_adapter(model).items()}

    monkeypatch.setattr(room, "read_adapter", weaker)  # as `merge` sees it
    asked = parity_prompts(backbone, items, data, "yes_minus_no")
    found = export_adapter(tmp_path / "out", backbone, tokenizer, adapter, BASE, asked, 5)
    assert found.differences(np.mean)["peft"] < LOST / 2 * found.differences(np.mean)["bare"]
    with pytest.raises(ModelError, match=r"^the export is not what was trained: scores of merged differ"):
        replace(found, tolerance=10.0).check()


def test_an_adapter_that_does_nothing_is_not_exported(
    loaded: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", loaded, 1)
    peft = load_peft(loaded, adapter)
    with torch.no_grad():
        for name, weight in peft.named_parameters():
            weight.mul_(0 if "lora_B" in name else 1)
    peft.save_pretrained(str(adapter))
    peft.unload()
    asked = parity_prompts(loaded, items, data, "yes_logit")
    with pytest.raises(ModelError, match=r"adapter changes no score of the probe: it is untrained or not"):
        export_adapter(tmp_path / "out", loaded, loaded.tokenizer, adapter, BASE, asked, 5)
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_reads_otherwise_is_refused(
    loaded: Backbone, items: Items, data: Interactions
) -> None:
    asked = parity_prompts(loaded, items, data, "yes_logit")
    check_tokens(loaded.tokenizer, asked, len(loaded.head))
    row = asked.examples[0].row
    with pytest.raises(ModelError, match=f"reads the prompt of row {row} differently from thinkrec"):
        check_tokens(bpe_of_words(), asked, len(loaded.head))
    with pytest.raises(ModelError, match=f"the prompt of row {row} has a token beyond the 5 embeddings"):
        check_tokens(loaded.tokenizer, asked, 5)

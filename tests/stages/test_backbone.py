"""Stage backbone: the tiny model, and a folder in its place."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import torch
from architectures import write_model
from safetensors.torch import load_file
from small_chain import Chain
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinkrec.files import read_json
from thinkrec.prompts.tokens import answer_ids, chat
from thinkrec.stages.backbone import make_backbone
from thinkrec.stages.evaluate import evaluate
from thinkrec.stages.global_ import run as run_global


def test_the_tiny_backbone_is_a_model_that_anybody_can_load(chain: Chain) -> None:
    folder = chain.layout.backbone
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "llama"
    assert chain.facts["backbone"]["parameters"] == model.num_parameters()
    for word, token in zip(("Yes", "No"), answer_ids(tokenizer), strict=True):
        assert tokenizer.decode([token]) == word
        assert tokenizer(chat(tokenizer, "x") + word, add_special_tokens=False)["input_ids"][-1] == token
    ids = torch.tensor([tokenizer(chat(tokenizer, "x"), add_special_tokens=False)["input_ids"]])
    assert torch.isfinite(model(ids).logits).all()


def test_the_same_seed_makes_the_same_backbone_without_any_label(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    for path in (layout.interactions, layout.rationales, layout.users):
        path.unlink()
    before = load_file(layout.backbone / "model.safetensors")
    tokenizer = (layout.backbone / "tokenizer.json").read_bytes()
    torch.set_num_threads(torch.get_num_threads())  # as the audit does; it must move no bit
    make_backbone(layout, chain.params.backbone, chain.params.prompt, chain.params.seed)
    after = load_file(layout.backbone / "model.safetensors")
    assert after.keys() == before.keys()
    assert all(after[name].equal(before[name]) for name in before)
    assert (layout.backbone / "tokenizer.json").read_bytes() == tokenizer
    tiny = chain.params.backbone.tiny.model_copy(update={"documents": 1})
    other = chain.params.backbone.model_copy(update={"tiny": tiny})
    make_backbone(layout, other, chain.params.prompt, chain.params.seed + 1)
    other_weights = load_file(layout.backbone / "model.safetensors")
    assert not other_weights["model.norm.weight"].equal(before["model.norm.weight"])


def test_a_folder_takes_the_tiny_backbones_place(chain: Chain, tmp_path: Path) -> None:
    layout, params = chain.copy(tmp_path), chain.params
    write_model(tmp_path / "qwen", "qwen3")
    backbone = params.backbone.model_copy(update={"model": str(tmp_path / "qwen")})
    facts = make_backbone(layout, backbone, params.prompt, params.seed)
    assert facts["model"] == str(tmp_path / "qwen") and facts["dtype"] == "float32"
    run_global(layout, params)
    section = params.evaluate.model_copy(update={"systems": ["backbone", "global"], "bootstrap_draws": 5})
    evaluate(layout, params.model_copy(update={"evaluate": section, "backbone": backbone}), params.seed)
    scores = [
        pq.read_table(layout.prediction("frozen", name))["score"].to_numpy() for name in section.systems
    ]
    assert abs(scores[0] - scores[1]).max() > 1e-4
    assert {"backbone", "global"} <= set(read_json(layout.metrics)["frozen"])

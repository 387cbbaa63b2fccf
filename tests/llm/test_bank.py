"""Guarantee 2: an adapter is applied whole, or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import bare, write_adapter
from safetensors.torch import load_file, save_file
from torch import Tensor

from thinkrec.config.sections import Lora
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.bank import LoraBank, Stack, add_delta, low_ranks
from thinkrec.llm.scorer import check_applied
from thinkrec.llm.student import Student

Weights = dict[str, Tensor]
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def adapter(loaded: Backbone, tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter", loaded, 1)


def spoil(folder: Path, change: Callable[[Weights], Any]) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    change(weights)
    save_file(weights, folder / "adapter_model.safetensors")


def configure(folder: Path, **values: Any) -> None:
    write_json(folder / "adapter_config.json", read_json(folder / "adapter_config.json") | values)


def test_every_weight_of_an_adapter_is_in_the_stack(loaded: Backbone, adapter: Path) -> None:
    bank = LoraBank([adapter], loaded.model)
    weights = load_file(adapter / "adapter_model.safetensors")
    assert len(bank.names) * 2 == len(weights) == 12
    query = "model.layers.0.self_attn.q_proj"
    assert sorted(name for stack in bank.stacks for name in stack.b) == bank.names
    stack = next(stack for stack in bank.stacks if query in stack.b)
    place = list(stack.b).index(query)
    assert torch.equal(stack.a.view(1, 2, 4, -1)[0, place], weights[f"{Q}.lora_A.weight"])
    assert torch.equal(stack.b[query], weights[f"{Q}.lora_B.weight"] * 4)  # alpha 16, rank 4
    assert bare(loaded.model)


REFUSED: dict[str, tuple[Callable[[Weights], Any], str]] = {
    "unknown key": (
        lambda weights: weights.update({f"{Q}.bias": torch.ones(2)}),
        "adapter {folder} holds 'base_model.model.model.layers.0.self_attn.q_proj.bias', which is no LoRA "
        "weight: it would silently be lost",
    ),
    "half a pair": (
        lambda weights: weights.pop(f"{Q}.lora_B.weight"),
        "adapter {folder} lacks a half of ['model.layers.0.self_attn.q_proj']; train it again",
    ),
    "nothing": (
        lambda weights: weights.clear(),
        "adapter {folder} lacks a half of everything; train it again",
    ),
    "other module": (
        lambda weights: weights.update(
            {f"{Q.replace('q_proj', 'z_proj')}.lora_{part}.weight": torch.ones(4, 4) for part in "AB"}
        ),
        "adapter {folder} adapts model.layers.0.self_attn.z_proj, which the backbone does not have",
    ),
    "other shape": (
        lambda weights: weights.update({f"{Q}.lora_A.weight": torch.ones(4, 65)}),
        "adapter {folder}: model.layers.0.self_attn.q_proj has other shapes than the backbone or its fellows",
    ),
    "ranks that differ": (
        lambda weights: weights.update({f"{Q}.lora_A.weight": torch.ones(3, 64)}),
        "adapter {folder} has other ranks than its configuration says; train it again",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_adapter_that_would_not_be_applied_whole_is_refused(
    case: str, loaded: Backbone, adapter: Path
) -> None:
    change, words = REFUSED[case]
    spoil(adapter, change)
    with pytest.raises(ModelError) as error:
        LoraBank([adapter], loaded.model)
    assert str(error.value) == words.format(folder=adapter)


@pytest.mark.parametrize(
    "values",
    [
        {"use_dora": True}, {"use_rslora": True}, {"peft_type": "LOHA"},
        {"rank_pattern": {"q_proj": 2}}, {"alpha_pattern": {"q_proj": 2}},
    ],
    ids=str,
)  # fmt: skip
def test_other_kinds_of_adapters_are_refused(values: dict[str, Any], loaded: Backbone, adapter: Path) -> None:
    configure(adapter, **values)
    with pytest.raises(ModelError, match=r"is not a plain LoRA, which is all that can be stacked$"):
        LoraBank([adapter], loaded.model)


def test_adapters_of_other_modules_or_ranks_are_not_fused(
    loaded: Backbone, adapter: Path, tmp_path: Path
) -> None:
    other = write_adapter(tmp_path / "k", loaded, 2, Lora(rank=4, target_modules=["k_proj", "v_proj"]))
    words = (
        f"adapter {other} adapts other modules than {adapter}; they can't be fused: train both again with "
    )
    words += "the same global.lora.target_modules"
    with pytest.raises(ModelError, match=re.escape(words)):
        LoraBank([adapter, other], loaded.model)
    wide = write_adapter(tmp_path / "wide", loaded, 2, Lora(rank=8))
    with pytest.raises(ModelError, match="has other shapes than the backbone or its fellows"):
        LoraBank([adapter, wide], loaded.model)


def test_a_missing_or_broken_folder_says_so(loaded: Backbone, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere can't be read: .*; train it again"):
        LoraBank([tmp_path / "nowhere"], loaded.model)
    (adapter / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"adapter can't be read: .*; train it again"):
        LoraBank([adapter], loaded.model)


def test_a_gate_of_another_width_is_refused(loaded: Backbone, adapter: Path) -> None:
    with pytest.raises(ModelError, match=r"^the gate has another number of adapters than the bank; run "):
        Student(loaded, LoraBank([adapter], loaded.model), torch.ones(5, 2))


def test_scores_that_do_not_change_are_an_error() -> None:
    bare_scores = np.array([0.1, -2.0], dtype=np.float32)
    check_applied(bare_scores + np.array([0, 1e-3]), bare_scores, "the adapter of global")
    words = (
        "the adapter of global changes no score of the probe: it is untrained or not applied; train it again"
    )
    with pytest.raises(ModelError, match=f"^{words}$"):
        check_applied(bare_scores, bare_scores.copy(), "the adapter of global")


def test_what_the_stack_adds_is_the_weighted_sum_of_the_updates() -> None:
    """Two projections of one input, with a weight for each row, and for each token."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 2, 2, 5, generator=rng), torch.randn(2, 3, 7, 2, generator=rng)
    x, gate = torch.randn(4, 6, 5, generator=rng), torch.rand(4, 6, 3, generator=rng)
    columns = {name: each.permute(1, 0, 2).flatten(1) for name, each in zip("qv", b, strict=True)}
    stack = Stack(a.flatten(0, 2), columns, rank=2)
    for weight in (gate, gate[:, 0]):
        every = weight if weight.dim() == 3 else weight[:, None].expand(-1, 6, -1)
        low = low_ranks(x, stack, weight)
        for number, name in enumerate("qv"):
            updates = torch.stack([b[number, k] @ a[k, number] for k in range(3)])
            expected = 1 + torch.einsum("btk,koi,bti->bto", every, updates, x)
            assert torch.allclose(
                add_delta(torch.ones(4, 6, 7), low[name], columns[name]), expected, atol=1e-5
            )
            with torch.no_grad():
                output = torch.ones(4, 6, 7)
                assert add_delta(output, low[name], columns[name]).data_ptr() == output.data_ptr()
                assert torch.allclose(output, expected, atol=1e-5)
    some = stack.only([2, 0])
    assert torch.allclose(
        add_delta(torch.zeros(4, 6, 7), low_ranks(x, some, gate[..., [2, 0]])["v"], some.b["v"]),
        add_delta(
            torch.zeros(4, 6, 7), low_ranks(x, stack, gate * torch.tensor([1, 0, 1]))["v"], columns["v"]
        ),
        atol=1e-5,
    )
    with pytest.raises(
        ValueError, match=r"a gate of shape \(4, 4\) does not fit 12 rank rows of 2 projections"
    ):
        low_ranks(x, stack, torch.ones(4, 4))
    with pytest.raises(ValueError, match="does not fit"):
        low_ranks(x, stack, gate[:3, 0])

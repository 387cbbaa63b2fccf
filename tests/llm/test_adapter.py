"""Guarantee 2 at every load: of this backbone, every key used, scores that change; or a sentence."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import load_family, prompts, write_adapter
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from small_chain import Chain
from torch import Tensor, nn

from thinkrec.config.sections import Lora
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ConfigError, DataError, ModelError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.llm.adapter import (
    ORIGIN,
    check_origin,
    check_prompts,
    identity,
    load_bank,
    load_peft,
    new_adapter,
    origin_of,
    prompts_of,
    start_folder,
    train_last,
)
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.bank import read_adapter
from thinkrec.llm.examples import score_examples_of
from thinkrec.llm.scorer import Asked
from thinkrec.llm.student import Student
from thinkrec.prompts.render import PromptWriter
from thinkrec.stages import experts, projector
from thinkrec.systems.fusion import load_fusion, load_student
from thinkrec.systems.proof import prove_peft, prove_student

Weights = dict[str, Tensor]
KIND: Any = "yes_minus_no"


@pytest.fixture
def adapter(loaded: Backbone, tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter", loaded, 1)


def test_an_adapter_is_for_the_prompts_it_was_trained_on(tmp_path: Path) -> None:
    check_prompts(tmp_path, "prompt")  # no record
    noted = {"model": "any", "identity": "any"}
    for record in (noted, noted | prompts_of("prompt")):
        write_json(tmp_path / ORIGIN, record)
        check_prompts(tmp_path, "prompt")
    with pytest.raises(ModelError, match=r"was trained with prompt\.layout prompt, .* says timeline"):
        check_prompts(tmp_path, "timeline")
    for other in ({"layout": "prompt"}, prompts_of("prompt") | {"prompts": 1}):
        write_json(tmp_path / ORIGIN, noted | other)
        with pytest.raises(ModelError, match=r"on prompts of another version .* `thinkrec global` on again"):
            check_prompts(tmp_path, "prompt")


def spoil(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


def zeroed(weights: Weights) -> Weights:
    return {name: weight * ("lora_B" not in name) for name, weight in weights.items()}


def renamed(weights: Weights) -> Weights:
    return {name.replace("layers.1.", "layers.9."): weight for name, weight in weights.items()}


def halved(weights: Weights) -> Weights:
    return {name: weight for name, weight in weights.items() if "layers.1." not in name}


LOADERS: dict[str, Callable[[Backbone, Path], Any]] = {
    "bank": lambda backbone, folder: load_bank([folder], backbone),
    "peft": load_peft,
}


@pytest.mark.parametrize("load", LOADERS)
def test_an_adapter_of_a_backbone_with_other_weights_is_refused(
    load: str, loaded: Backbone, adapter: Path
) -> None:
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.up_proj.weight[0, 0] += 0.5
    words = (
        f"adapter {adapter} was trained on another backbone (llama with other weights than the present "
        "llama): train it again, or restore that backbone"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(words)}$"):
        LOADERS[load](loaded, adapter)
    (adapter / "backbone.json").unlink()  # of another maker: nothing is said
    LOADERS[load](loaded, adapter)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("text", ["", "[]", "{}", "\x80"])
def test_a_note_of_the_backbone_that_cannot_be_read_is_an_error(
    load: str, text: str, loaded: Backbone, adapter: Path
) -> None:
    (adapter / "backbone.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"backbone.json can't be read \(.*\); train the adapter again$"):
        LOADERS[load](loaded, adapter)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("change", [renamed, lambda _: {}], ids=["renamed", "empty"])
def test_keys_that_find_no_place_are_refused(
    load: str, change: Callable[[Weights], Weights], loaded: Backbone, adapter: Path
) -> None:
    spoil(adapter, change)
    with pytest.raises(ModelError, match=re.escape(f"adapter {adapter} ")):
        LOADERS[load](loaded, adapter)


def test_peft_may_not_lack_a_key_in_silence(loaded: Backbone, adapter: Path) -> None:
    spoil(adapter, halved)
    first = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    words = f"adapter {adapter} does not fit the backbone: {first} is in one of them only; train it again"
    with pytest.raises(ModelError, match=f"^{re.escape(words)}$"):
        load_peft(loaded, adapter)


def test_shapes_of_another_backbone_are_refused_by_peft_too(loaded: Backbone, adapter: Path) -> None:
    spoil(
        adapter,
        lambda weights: {n: torch.cat([w, w], 1) if "lora_A" in n else w for n, w in weights.items()},
    )
    with pytest.raises(ModelError, match=r"^PEFT can't load adapter .* \(.*\); train it again$"):
        load_peft(loaded, adapter)


def test_an_adapter_where_scores_never_run_through_is_refused(loaded: Backbone, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "head", loaded, 1, Lora(rank=2, target_modules=["q_proj"]))
    spoil(folder, lambda weights: {**weights, **head(loaded)})
    with pytest.raises(ModelError, match="adapts lm_head, which is outside the layers that scores run"):
        load_bank([folder], loaded)


def head(backbone: Backbone) -> Weights:
    out, width = backbone.head.shape
    name = "base_model.model.lm_head.lora_{}.weight"
    return {name.format("A"): torch.ones(2, width), name.format("B"): torch.ones(out, 2)}


def test_an_adapter_of_zeros_does_not_pass_as_applied(
    loaded: Backbone, adapter: Path, items: Items, data: Interactions
) -> None:
    examples = prompts(loaded, items, data)
    model = load_peft(loaded, adapter, trainable=True)
    prove_peft(model, loaded, Asked.of_rows(examples), KIND, "the adapter")
    assert model.training
    model.unload()
    spoil(adapter, zeroed)
    model = load_peft(loaded, adapter, trainable=True)  # dropout alone may not make scores differ
    with pytest.raises(ModelError, match=r"^the adapter changes no score of the probe: it is untrained"):
        prove_peft(model, loaded, Asked.of_rows(examples), KIND, "the adapter")


def test_a_backbone_is_known_again_in_another_dtype_and_under_an_adapter(
    loaded: Backbone, adapter: Path, tmp_path: Path
) -> None:
    said = identity(loaded.model)
    assert read_json(adapter / "backbone.json") == {"model": "llama", "identity": said}
    peft = load_peft(loaded, adapter)
    assert identity(peft) == said
    peft.unload()
    assert identity(loaded.model.bfloat16()) == said
    other = load_family(tmp_path, "mistral")
    assert identity(other.model) != said
    assert origin_of(other)["model"] == "mistral"  # not the folder that holds it


class Packed(nn.Linear):
    """A projection as bitsandbytes loads it, two weights of 4 bits a byte; what it computes is not tested."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, bias=False)
        size = (plain.weight.numel() // 2, 1)
        self.weight = nn.Parameter(torch.zeros(size, dtype=torch.uint8), requires_grad=False)


def pack(backbone: Backbone) -> None:
    """The layers' projections in 4 bits, all else in bfloat16."""
    backbone.model.bfloat16()
    for name, module in list(backbone.model.named_modules()):
        if isinstance(module, nn.Linear) and ".layers." in name:
            backbone.model.set_submodule(name, Packed(module))


def test_a_backbone_is_known_again_in_four_bits(loaded: Backbone, adapter: Path, tmp_path: Path) -> None:
    said = identity(loaded.model)
    pack(loaded)
    assert said.startswith(f"{identity(loaded.model)}-")
    (bank := load_bank([adapter], loaded)).to("cpu")  # trained on the weights as they were
    for stack in bank.stacks:
        assert {each.dtype for each in (stack.a, *stack.b.values())} == {torch.bfloat16}
        assert float(stack.a.abs().max()) > 0
    own = write_json_of(tmp_path / "own", identity(loaded.model))
    check_origin(own, loaded)
    with torch.no_grad():
        loaded.model.model.norm.weight[0] += 0.5
    for folder in (adapter, own):
        with pytest.raises(ModelError, match="was trained on another backbone"):
            check_origin(folder, loaded)


def write_json_of(folder: Path, said: str) -> Path:
    write_json(folder / "backbone.json", {"model": "llama", "identity": said})
    return folder


def test_an_adapter_of_other_shapes_is_refused_in_four_bits(loaded: Backbone, adapter: Path) -> None:
    pack(loaded)
    spoil(adapter, lambda weights: {name: torch.cat([w, w], 1) for name, w in weights.items() if "_A" in name}
          | {name: w for name, w in weights.items() if "_A" not in name})  # fmt: skip
    with pytest.raises(ModelError, match="has other shapes than the backbone or its fellows"):
        load_bank([adapter], loaded)


def test_without_rows_nothing_is_proven(loaded: Backbone, adapter: Path, data: Interactions) -> None:
    words = "^there is no row to prove adapters on: the probe of {} is empty, as is the split"
    student = Student(loaded, load_bank([adapter], loaded), torch.ones(data.users + 1, 1))
    with pytest.raises(DataError, match=words.format("the fusion of global")):
        prove_student(student, Asked.of_rows([]), KIND, "global")
    with pytest.raises(DataError, match=words.format("the adapter")):
        prove_peft(load_peft(loaded, adapter), loaded, Asked.of_prompts([], 0), KIND, "the adapter")


def student_of(chain: Chain, layout: Layout, name: str) -> None:
    params, loaded = chain.params, load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.gate)
    data = Interactions.load(layout.interactions)
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, name == "thinkrec")
    examples = score_examples_of(writer, data, data.rows("test")[:8])
    load_student(layout, loaded, fusion, name, Asked.of_rows(examples), KIND, chain.params.prompt)


STAGES: dict[str, Callable[[Chain, Layout], Any]] = {
    "global": lambda chain, layout: student_of(chain, layout, "global"),
    "thinkrec": lambda chain, layout: student_of(chain, layout, "thinkrec"),
    "experts stage": lambda chain, layout: experts.run(layout, chain.params),
    "projector stage": lambda chain, layout: projector.run(layout, chain.params),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("zeroed", "changes no score of the probe: it is untrained or not applied; train it again$"),
        ("renamed", "adapts model.layers.9|other modules than|does not fit the backbone"),
        ("other backbone", "was trained on another backbone"),
    ],
)
def test_every_stage_that_loads_an_adapter_proves_it(
    stage: str, case: str, words: str, chain: Chain, tmp_path: Path
) -> None:
    layout = chain.copy(tmp_path)
    folder = layout.global_adapter
    if case == "other backbone":
        write_json(folder / "backbone.json", read_json(folder / "backbone.json") | {"identity": "0"})
    else:
        spoil(folder, zeroed if case == "zeroed" else renamed)
    before = {path: path.read_bytes() for path in layout.models.rglob("*.safetensors")}
    with pytest.raises(ModelError, match=words):
        STAGES[stage](chain, layout)
    assert {path: path.read_bytes() for path in layout.models.rglob("*.safetensors")} == before


def test_a_lora_multiplies_in_the_dtype_of_its_input(loaded: Backbone, adapter: Path) -> None:
    loaded.model.to(torch.bfloat16)
    model = load_peft(loaded, adapter, trainable=True)
    weights = [weight for name, weight in model.named_parameters() if "lora_" in name]
    assert {weight.dtype for weight in weights} == {torch.float32}
    layer: Any = next(module for module in model.modules() if isinstance(module, LoraLayer))
    seen: list[torch.dtype] = []
    layer.lora_A["default"].register_forward_hook(
        lambda _, inputs, output: seen.extend((inputs[0].dtype, output.dtype))
    )
    model(torch.tensor([[5, 6, 7]])).logits.sum().backward()
    assert set(seen) == {torch.bfloat16}
    assert all(weight.grad is not None and weight.grad.dtype is torch.float32 for weight in weights)


def test_in_float32_a_lora_is_as_peft_computes_it(loaded: Backbone, adapter: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        ours = load_peft(loaded, adapter, trainable=True).eval()(ids).logits
    theirs = PeftModel.from_pretrained(load_backbone_again(loaded), str(adapter))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours, rtol=0, atol=1e-6)


def load_backbone_again(loaded: Backbone) -> Any:
    """The backbone without what PEFT put into it."""
    copied = copy.deepcopy(loaded.model)
    for name, module in list(copied.named_modules()):
        if isinstance(module, LoraLayer):
            parent, _, last = name.rpartition(".")
            setattr(copied.get_submodule(parent), last, module.base_layer)
    return copied


def test_a_training_starts_from_a_given_lora(loaded: Backbone, adapter: Path) -> None:
    model = new_adapter(loaded, Lora(rank=4), 7, start=adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[name], weights[name]) for name in weights)


def test_a_start_of_another_shape_is_refused(loaded: Backbone, adapter: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^global\.start: the LoRA in .* has rank 4, alpha 16 and modules q_proj"
    ):
        new_adapter(loaded, Lora(rank=8), 7, start=adapter)


def test_a_start_that_is_not_there(loaded: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        new_adapter(loaded, Lora(rank=4), 7, start=start_folder("gone", tmp_path))
    assert str(error.value) == (
        f"global.start: {tmp_path / 'gone'} is no folder of a LoRA: correct it in params.yaml to smollm2, "
        "a folder with adapter_config.json, or null"
    )


def test_the_start_that_comes_with_the_package(loaded: Backbone) -> None:
    folder = start_folder("smollm2")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    weights = read_adapter(folder)  # of 30 layers
    assert len(weights) == 30 * 4 and all(bool(b.any()) for _, b in weights.values())
    said = read_json(folder / "adapter_config.json")
    lora = Lora(rank=16, alpha=32, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    with pytest.raises(
        ModelError, match=r"^global\.start: the LoRA in .* does not fit .*global\.start in params"
    ):
        new_adapter(loaded, lora, 7, start=folder)
    assert said["base_model_name_or_path"] is None
    assert "no label" in read_json(folder / ORIGIN)["made"]


def test_last_layers_without_a_lora(loaded: Backbone) -> None:
    model = new_adapter(loaded, Lora(rank=2, target_modules=["lm_head"]), 7)
    with pytest.raises(
        ConfigError, match=r"^last_layers: none of the LoRA's weights is in the last 2 layers"
    ):
        train_last(model, 2)


def test_a_start_made_on_other_weights_is_taken_with_a_warning(
    loaded: Backbone, adapter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(adapter, tmp_path / "start")
    write_json(tmp_path / "start" / ORIGIN, {"model": "other", "identity": "0-0"})
    new_adapter(loaded, Lora(rank=4), 7, start=tmp_path / "start")
    assert "was trained on other weights than this backbone's" in caplog.text


def test_a_start_in_the_project(tmp_path: Path) -> None:
    assert start_folder("models/own", tmp_path) == tmp_path / "models/own"

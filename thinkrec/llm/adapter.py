"""Adapters from disk: trained on this very backbone, every key used, or refused (guarantee 2)."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from thinkrec.config.sections import Lora
from thinkrec.errors import ConfigError, ModelError
from thinkrec.files import read_json, write_json
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.bank import Fuse, LoraBank, read_adapter

ORIGIN = "backbone.json"  # file of an adapter folder that says what it was trained on
_FIRST = 256  # values of each weight that go into a backbone's identity


def identity(model: nn.Module) -> str:
    """Hashes by which a backbone is known again, of name, shape and first values of its weights.

    The first is of all but the values of the layers' projections, which 4 bits have not. The second, behind a
    dash, is of these; a backbone in 4 bits is without it. Values count as bfloat16, so that the same weights
    are the same backbone in either dtype. Adapters on the model do not count.
    """
    modules = dict(model.named_modules())
    plain, layers, packed = hashlib.sha256(), hashlib.sha256(), False
    weights = {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): (
            weight, modules[name.rpartition(".")[0]],
        )
        for name, weight in model.named_parameters()
        if "lora_" not in name
    }  # fmt: skip
    for name, (weight, module) in sorted(weights.items()):
        shape, values = tuple(weight.shape), plain
        if isinstance(module, nn.Linear) and ".layers." in name and name.endswith(".weight"):
            shape, values = (module.out_features, module.in_features), layers
        plain.update(f"{name} {shape} ".encode())
        if shape != tuple(weight.shape):
            packed = True
            continue
        values.update(weight.detach().flatten()[:_FIRST].bfloat16().cpu().view(torch.int16).numpy().tobytes())
    return plain.hexdigest()[:16] + ("" if packed else f"-{layers.hexdigest()[:16]}")


def same(one: str, other: str) -> bool:
    """Whether two identities are of one backbone, as far as both say."""
    return all(a == b for a, b in zip(one.split("-"), other.split("-"), strict=False))


def public_name(name: str) -> str:
    """A backbone's name without a place of this machine: of an absolute path the last part."""
    return Path(name).name if Path(name).is_absolute() else name


def origin_of(backbone: Backbone) -> dict[str, str]:
    """What an adapter notes of the backbone it is trained on: model, identity."""
    return {"model": public_name(backbone.name), "identity": identity(backbone.model)}


def check_layout(folder: Path, layout: str) -> None:
    """Check that an adapter was trained in this layout of prompts; one that says nothing of it passes.

    Raises:
        ModelError: it was trained in another, whose scores mean nothing here.
    """
    path = folder / ORIGIN
    found = read_json(path).get("layout", layout) if path.exists() else layout
    if found != layout:
        raise ModelError(
            f"adapter {folder} was trained with prompt.layout {found}, params.yaml says {layout}: set it "
            "back, or train from `thinkrec global` on again"
        )


def write_origin(folder: Path, origin: dict[str, str]) -> None:
    """Write it beside the adapter, where `check_origin` looks."""
    write_json(folder / ORIGIN, origin)


def check_origin(folder: Path, backbone: Backbone) -> None:
    """Check that an adapter was trained on this backbone; one that says nothing of it passes.

    Raises:
        ModelError: it was trained on another, or what it says can't be read.
    """
    path = folder / ORIGIN
    if not path.exists():
        return
    try:
        said = read_json(path)
        model, trained_on = said["model"], str(said["identity"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"{path} can't be read ({error}); train the adapter again") from error
    if not same(trained_on, identity(backbone.model)):
        raise ModelError(
            f"adapter {folder} was trained on another backbone ({model} with other weights than the present "
            f"{public_name(backbone.name)}): train it again, or restore that backbone"
        )


def load_bank(folders: Sequence[Path], backbone: Backbone, fusion: Fuse = "exact") -> LoraBank:
    """Stack adapters of this backbone, to be fused as `low_ranks` says.

    Raises:
        ModelError: one was trained on another backbone, does not fit it, differs from its fellows, or adapts
            what scores never run through, so that it would silently be lost.
    """
    for folder in folders:
        check_origin(folder, backbone)
    bank = LoraBank(folders, backbone.model, fusion)
    for name in bank.names:
        if not name.startswith(f"{backbone.model.base_model_prefix}."):
            raise ModelError(
                f"adapter {folders[0]} adapts {name}, which is outside the layers that scores run through: "
                "it would silently be lost; choose other global.lora.target_modules and train it again"
            )
    return bank


def load_peft(backbone: Backbone, folder: Path, trainable: bool = False) -> PeftModel:
    """Put an adapter on the backbone as PEFT does; the backbone's own modules are wrapped in place.

    Raises:
        ModelError: it can't be read, was trained on another backbone, or a key found no place.
    """
    check_origin(folder, backbone)
    read_adapter(
        folder
    )  # plain LoRA, in safetensors: of other kinds PEFT would read pickles and import modules
    try:
        model = PeftModel.from_pretrained(backbone.model, str(folder), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"PEFT can't load adapter {folder} ({first}); train it again") from error
    set_weights(model, folder)
    return model


def set_weights(model: PeftModel, folder: Path) -> None:
    """Give a PEFT model the weights of an adapter folder; every key must find its place.

    PEFT itself only warns of keys that are missing.

    Raises:
        ModelError: a key of the folder was not used, or one of the model's was not found there.
    """
    weights = load_file(folder / "adapter_model.safetensors")
    result: Any = set_peft_model_state_dict(model, weights)
    # Without its embeddings, for which PEFT would ask the hub for the backbone's configuration.
    differing = set(weights) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if result.unexpected_keys or differing:
        first = min([*result.unexpected_keys, *differing])
        raise ModelError(
            f"adapter {folder} does not fit the backbone: {first} is in one of them only; train it again"
        )


def new_adapter(backbone: Backbone, lora: Lora, seed: int, section: str = "global") -> PeftModel:
    """Put a fresh LoRA on the backbone.

    Raises:
        ConfigError: a target module is none of the backbone's.
    """
    modules = {name.rpartition(".")[2] for name, _ in backbone.model.named_modules()}
    for name in lora.target_modules:
        if name not in modules:
            near = difflib.get_close_matches(name, modules, n=1)
            raise ConfigError(
                f"{section}.lora.target_modules: the backbone has no module {name!r}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(backbone.model, config)


def save_adapter(model: PeftModel, folder: Path, origin: dict[str, str]) -> None:
    """Save an adapter as PEFT does, and what it was trained on; the backbone's place is left out."""
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card with that place
    config = folder / "adapter_config.json"
    said = read_json(config)
    said["target_modules"] = sorted(said["target_modules"])  # PEFT keeps a set, whose order is random
    write_json(config, said | {"base_model_name_or_path": None})
    write_origin(folder, origin)

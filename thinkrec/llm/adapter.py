"""Loading adapters: each was trained on this backbone and all its weights are used, or it is refused
(guarantee 2)."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from thinkrec.config.sections import Lora
from thinkrec.errors import ConfigError, ModelError
from thinkrec.files import read_json, write_json
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.bank import Fuse, LoraBank, read_adapter
from thinkrec.prompts.render import FORMAT

log = logging.getLogger(__name__)
STARTS = Path(__file__).parent / "starts"
"""Folder of the LoRAs that come with the package, by name; `benchmarks/warm_start.py` makes them."""
ORIGIN = "backbone.json"  # file in an adapter folder that records the backbone it was trained on
_FIRST = 256  # values of each weight that enter a backbone's fingerprint


def identity(model: nn.Module) -> str:
    """Return a backbone's fingerprint: two hashes of names, shapes and first values of its weights.

    The first hash excludes the values of the layers' projections, which are not available in 4 bits. The
    second, after a dash, covers these; a backbone in 4 bits lacks it. Values are hashed as bfloat16, so that
    the fingerprint does not depend on the dtype. Adapters on the model are ignored.
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
    """Return whether two fingerprints agree in the hashes that both have."""
    return all(a == b for a, b in zip(one.split("-"), other.split("-"), strict=False))


def public_name(name: str) -> str:
    """Return a backbone's name without local folders: the last part of an absolute path."""
    return Path(name).name if Path(name).is_absolute() else name


def origin_of(backbone: Backbone) -> dict[str, Any]:
    """Return what an adapter records about its backbone: model, identity."""
    return {"model": public_name(backbone.name), "identity": identity(backbone.model)}


def prompts_of(layout: str) -> dict[str, Any]:
    """Return what an adapter records about the prompts it was trained on, for `check_prompts`."""
    return {"layout": layout, "prompts": FORMAT}


def check_prompts(folder: Path, layout: str) -> None:
    """Check that an adapter was trained on prompts such as those of now; one without a record passes.

    Raises:
        ModelError: they had another layout, or another version wrote them, so that its scores would be
            meaningless.
    """
    path = folder / ORIGIN
    noted = read_json(path) if path.exists() else {}
    if "layout" not in noted:
        return
    if noted["layout"] != layout:
        raise ModelError(
            f"adapter {folder} was trained with prompt.layout {noted['layout']}, params.yaml says {layout}: "
            "set it back, or train from `thinkrec global` on again"
        )
    if noted.get("prompts") != FORMAT:
        raise ModelError(
            f"adapter {folder} was trained on prompts of another version of thinkrec, which said other "
            "things: train from `thinkrec global` on again, or install that version"
        )


def write_origin(folder: Path, origin: dict[str, Any]) -> None:
    """Write the record of the backbone into an adapter folder, for `check_origin`."""
    write_json(folder / ORIGIN, origin)


def check_origin(folder: Path, backbone: Backbone) -> None:
    """Check that an adapter was trained on this backbone; one without a record passes.

    Raises:
        ModelError: it was trained on another backbone, or its record can't be read.
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
    """Stack adapters of this backbone; see `low_ranks` for `fusion`.

    Raises:
        ModelError: an adapter was trained on another backbone, does not fit it, differs from the others, or
            adapts a layer that scoring does not use, so that it would silently be lost.
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
    """Load an adapter with PEFT, which wraps the backbone's modules in place.

    Raises:
        ModelError: it can't be read, was trained on another backbone, or a weight has no counterpart.
    """
    check_origin(folder, backbone)
    read_adapter(
        folder
    )  # checks that it is plain LoRA in safetensors; PEFT would unpickle other kinds and import their modules
    try:
        model = PeftModel.from_pretrained(backbone.model, str(folder), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"PEFT can't load adapter {folder} ({first}); train it again") from error
    set_weights(model, folder)
    if trainable:
        low_precision_products(model)
    return model


def set_weights(model: PeftModel, folder: Path) -> None:
    """Set a PEFT model's weights from an adapter folder; the keys must match exactly.

    PEFT itself only warns about missing keys.

    Raises:
        ModelError: a key of the folder is unused, or a key of the model is missing.
    """
    weights = load_file(folder / "adapter_model.safetensors")
    result: Any = set_peft_model_state_dict(model, weights)
    # Without embeddings, for which PEFT would request the backbone's configuration from the hub.
    differing = set(weights) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if result.unexpected_keys or differing:
        first = min([*result.unexpected_keys, *differing])
        raise ModelError(
            f"adapter {folder} does not fit the backbone: {first} is in one of them only; train it again"
        )


def new_adapter(
    backbone: Backbone, lora: Lora, seed: int, section: str = "global", start: Path | None = None
) -> PeftModel:
    """Add a LoRA to the backbone: an untrained one, or one with the weights in the folder `start`.

    Raises:
        ConfigError: the backbone has no such target module, or `start` is no folder of a LoRA.
        ModelError: the folder's LoRA can't be read or has another shape.
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
    model = get_peft_model(backbone.model, config)
    low_precision_products(model)
    if start is not None:
        check_start(start, lora, backbone)
        set_weights(model, start)
    return model


def train_last(model: PeftModel, layers: int) -> int:
    """Let only the adapters of the last `layers` layers train; returns how many weights that are.

    Raises:
        ConfigError: there are none.
    """
    total = model.config.num_hidden_layers
    trained = 0
    for name, weight in model.named_parameters():
        layer = name.partition(".layers.")[2].partition(".")[0]  # a LoRA on the head is in none
        inside = "lora_" in name and layer.isdigit() and int(layer) >= total - layers
        weight.requires_grad_(inside)
        trained += weight.numel() if inside else 0
    if not trained:
        raise ConfigError(
            f"last_layers: none of the LoRA's weights is in the last {layers} layers: name modules of the "
            "layers in global.lora.target_modules of params.yaml"
        )
    return trained


def start_folder(name: str, root: Path = Path()) -> Path:
    """Return the folder of the LoRA that `global.start` names: one of the package's, or of the project's."""
    own = STARTS / name
    return own if name in {path.name for path in STARTS.glob("*")} else root / name


def check_start(folder: Path, lora: Lora, backbone: Backbone) -> None:
    """Check that an adapter folder has the LoRA that training is to start from.

    One that was trained on other weights of the same shapes is taken with a warning: SmolLM2's from the hub
    and from the package index differ in rounding alone.

    Raises:
        ConfigError: there is no such folder.
        ModelError: it can't be read, its rank, alpha or modules are others, or it does not fit the backbone.
    """
    if not (folder / "adapter_config.json").is_file():
        raise ConfigError(
            f"global.start: {folder} is no folder of a LoRA: correct it in params.yaml to "
            f"{' or '.join(sorted(path.name for path in STARTS.iterdir()))}, a folder with "
            "adapter_config.json, or null"
        )
    modules = dict(backbone.model.named_modules())
    for name, (a, b) in read_adapter(folder).items():
        there = [getattr(modules.get(name), side, None) for side in ("in_features", "out_features")]
        if there != [a.shape[1], b.shape[0]]:
            raise ModelError(
                f"global.start: the LoRA in {folder} does not fit {public_name(backbone.name)} ({name} is of "
                "other sizes there or missing): set global.start in params.yaml to null, or to a LoRA for it"
            )
    try:
        check_origin(folder, backbone)
    except ModelError:
        log.warning("global.start: %s was trained on other weights than this backbone's", folder)
    said = read_json(folder / "adapter_config.json")
    theirs = said["r"], said["lora_alpha"], sorted(said["target_modules"])
    ours = lora.rank, lora.alpha, sorted(lora.target_modules)
    if theirs != ours:
        raise ModelError(
            f"global.start: the LoRA in {folder} has rank {theirs[0]}, alpha {theirs[1]} and modules "
            f"{', '.join(theirs[2])}; set global.lora in params.yaml to these, or global.start to null"
        )


def low_precision_products(model: PeftModel) -> None:
    """Have LoRA layers multiply in the dtype of their input; their weights stay in float32 for the optimizer.

    PEFT converts the input of every layer to float32 instead, which slows training in bfloat16 on a processor
    (docs/experiments.md, 2026-11-29).
    """
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        module.cast_input_dtype_enabled = False
        for linear in (*module.lora_A.values(), *module.lora_B.values()):
            linear.__class__ = _Product


class _Product(nn.Linear):
    """A linear map without a bias that multiplies in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x @ weight.T in the dtype of x."""
        return functional.linear(x, self.weight.to(x.dtype))


def save_adapter(model: PeftModel, folder: Path, origin: dict[str, Any]) -> None:
    """Save an adapter with PEFT, and the record of its backbone, without the backbone's local path."""
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card with that path
    config = folder / "adapter_config.json"
    said = read_json(config)
    said["target_modules"] = sorted(said["target_modules"])  # PEFT writes a set in random order
    write_json(config, said | {"base_model_name_or_path": None})
    write_origin(folder, origin)

"""Stage global: one LoRA on all data, trained jointly on likes and on rationales."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkrec.config.sections import Global, Lora, Params, Prompt
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError
from thinkrec.files import read_json, whole, write_json
from thinkrec.layout import Layout
from thinkrec.stages.writer import make_writer

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel

    from thinkrec.llm.backbone import Backbone as LoadedBackbone
    from thinkrec.llm.plan import Plan


def sample_rows(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` of these rows, ascending, the same for the same seed."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def new_adapter(backbone: LoadedBackbone, lora: Lora, seed: int, section: str = "global") -> PeftModel:
    """Put a fresh LoRA on the backbone.

    Raises:
        ConfigError: a target module is none of the backbone's.
    """
    import torch
    from peft import LoraConfig, get_peft_model

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
    from thinkrec.llm.adapter import write_origin

    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card with that place
    config = folder / "adapter_config.json"
    said = read_json(config)
    said["target_modules"] = sorted(said["target_modules"])  # PEFT keeps a set, whose order is random
    write_json(config, said | {"base_model_name_or_path": None})
    write_origin(folder, origin)


def plan_global(layout: Layout, training: Global, prompt: Prompt, seed: int) -> Plan[PeftModel]:
    """What `run` trains: a fresh LoRA on all of train.

    Raises:
        ConfigError: a target module is none of the backbone's.
        ModelError: the backbone can't be used.
    """
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.examples import Rationales, asked_of, training_samples
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.trainer import Task

    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    writer = make_writer(layout, loaded, prompt, vectors=False)
    rows, rationales = data.rows("train"), Rationales.load(layout, data, "train")
    samples = training_samples(writer, data, rows, rationales, training.loss, training, seed)
    valid = asked_of(writer, data, sample_rows(data.rows("valid"), training.valid_rows, seed))
    model = new_adapter(loaded, training.lora, seed)
    task = Task(loaded, training.loss.score, valid, f"global, seed {seed}")
    return Plan("global", model, samples, task, training, len(rows), len(rationales.rows))


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train the LoRA that fills models/D/global, a PEFT folder.

    Returns:
        Facts: samples, the chosen checkpoint's AUC and UAUC on (a sample of) valid.

    Raises:
        ModelError: the backbone can't be used or a loss is not finite.
    """
    from thinkrec.artifacts.resume import work_key
    from thinkrec.llm.adapter import origin_of
    from thinkrec.llm.checkpoints import forget, write_curves
    from thinkrec.llm.trainer import train

    plan = plan_global(layout, params.global_, params.prompt, params.seed)
    work = layout.work("global") / work_key(layout, "global", params)
    history = train(plan.model, plan.samples, plan.task, params.global_, work, params.seed)
    with whole(layout.global_adapter) as folder:
        save_adapter(plan.model, folder, origin_of(plan.task.backbone) | {"layout": params.prompt.layout})
    write_curves(layout.curve("global"), [(plan.name, history)])
    forget(layout.work("global"))
    chosen = choice(history, len(plan.task.valid))
    return {"samples": len(plan.samples), "reasoning_rows": plan.rationales, **chosen}


def choice(history: list[dict[str, float]], rows: int) -> dict[str, Any]:
    """The chosen checkpoint: step, AUC and UAUC on valid (None: undefined there), and on how many rows."""
    from thinkrec.metrics.ranking import rounded

    best = max((line for line in history if "eval_choice" in line), key=lambda line: line["eval_choice"])
    return {
        "chosen_step": best["step"],
        "valid_auc": rounded(best.get("eval_auc")),
        "valid_uauc": rounded(best.get("eval_uauc")),
        "valid_rows": rows,
    }

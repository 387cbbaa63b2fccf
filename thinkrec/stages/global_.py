"""Stage global: one LoRA on all data, trained jointly on likes and on rationales."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.layout import Layout
from thinkrec.stages.seeds import Training, train_seeds

if TYPE_CHECKING:
    from peft import PeftModel

    from thinkrec.llm.plan import Plan


def plan_global(layout: Layout, params: Params) -> Plan[PeftModel]:
    """What `run` trains: a fresh LoRA on all of train.

    Args:
        layout: where the artifacts of the variant lie.
        params: as the variant is trained with.

    Raises:
        ConfigError: a target module is none of the backbone's.
        ModelError: the backbone can't be used.
    """
    from thinkrec.llm.adapter import new_adapter, start_folder, train_last
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.examples import Rationales, asked_of, training_samples
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.trainer import Task
    from thinkrec.prompts.render import PromptWriter

    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    training, loss, seed = params.global_, params.loss, params.seed
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, protocol=params.choose_by)
    rows, rationales = data.rows("train"), Rationales.for_training(layout, data, loss)
    samples = training_samples(writer, data, rows, rationales, loss, training, seed)
    valid = asked_of(writer, data, sample_rows(data.rows("valid"), training.valid_rows, seed))
    start = start_folder(training.start, layout.root) if training.start else None
    model = new_adapter(loaded, training.lora, seed, start=start)
    if training.last_layers is not None:
        train_last(model, training.last_layers)
    task = Task(loaded, loss.score, valid, f"global, seed {seed}")
    return Plan("global", model, samples, task, training, len(rows), len(rationales.rows))


def _train(layout: Layout, params: Params, folder: Path, work: Path) -> Training:
    from thinkrec.llm.adapter import origin_of, prompts_of, save_adapter
    from thinkrec.llm.checkpoints import choice
    from thinkrec.llm.tracking import Tracking
    from thinkrec.llm.trainer import train

    tracking = Tracking.of(layout, params, "global")
    plan = plan_global(layout, params)
    history = train(plan.model, plan.samples, plan.task, plan.training, work, params.seed, tracking=tracking)
    save_adapter(plan.model, folder, origin_of(plan.task.backbone) | prompts_of(params.prompt.layout))
    chosen = choice(history, len(plan.task.valid))
    facts = {"samples": len(plan.samples), "reasoning_rows": plan.rationales, **chosen}
    return facts, [(plan.name, history)]


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train the LoRA that fills models/D/adapters/VARIANT/global, a PEFT folder, once a seed.

    Returns:
        Facts: samples, the chosen checkpoint's AUC and UAUC on (a sample of) valid; see `train_seeds`.

    Raises:
        ModelError: the backbone can't be used or a loss is not finite.
    """
    return train_seeds("global", layout, params, layout.global_adapter, _train)

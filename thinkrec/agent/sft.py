"""Supervised fine-tuning on trajectories with TRL's SFTTrainer; the loss covers the agent's tokens alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils import get_json_schema
from trl import SFTConfig, SFTTrainer

from thinkrec.agent.local import TEMPLATE, training_template
from thinkrec.agent.rollout import Trajectory
from thinkrec.errors import DataError, ModelError
from thinkrec.llm.checkpoints import last_whole
from thinkrec.llm.steps import Steps, WholeCheckpoints, trained_weights
from thinkrec.llm.tracking import UNTRACKED, Tracking
from thinkrec.processes import world_size

log = logging.getLogger(__name__)
IGNORED = -100  # label of a token that does not count in the loss


@dataclass(frozen=True)
class Sizes:
    """Training hyperparameters.

    Args:
        learning_rate: of AdamW, with cosine decay after a warm-up over a tenth of the steps.
        epochs: passes over the trajectories.
        batch_size: trajectories per forward pass and process.
        gradient_accumulation: forward passes per optimizer step.
        evaluations: number of checkpoints whose held-out loss is measured.
        gradient_checkpointing: use gradient checkpointing.
    """

    learning_rate: float
    epochs: float
    batch_size: int
    gradient_accumulation: int = 1
    evaluations: int = 4
    gradient_checkpointing: bool = False


def encoded(
    tokenizer: PreTrainedTokenizerBase,
    trajectories: Sequence[Trajectory],
    tools: dict[str, Callable[..., str]],
    most: int,
) -> tuple[Dataset, int]:
    """Return trajectories as token ids, with labels for the agent's own tokens alone.

    Args:
        tokenizer: prepared for the agent.
        trajectories: whole episodes.
        tools: all tools; an episode's prompt offers those whose calls it counts.
        most: maximum number of tokens; longer trajectories are dropped.

    Returns:
        Columns input_ids and labels, and the number of dropped trajectories.
    """
    schemas = {name: get_json_schema(tool) for name, tool in tools.items()}
    template, ids, labels = training_template(tokenizer), [], []
    for trajectory in trajectories:
        offered: Any = [schemas[name] for name in trajectory.calls if name in schemas] or None
        rendered: Any = tokenizer.apply_chat_template(
            trajectory.messages, tools=offered, chat_template=template, return_dict=True,
            return_assistant_tokens_mask=True, **TEMPLATE,
        )  # fmt: skip
        if len(rendered["input_ids"]) <= most:
            ids.append(list(rendered["input_ids"]))
            masked = zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
            labels.append([token if own else IGNORED for token, own in masked])
    return Dataset.from_dict({"input_ids": ids, "labels": labels}), len(trajectories) - len(ids)


def run(trainer: Any, work: Path, name: str) -> list[dict[str, float]]:
    """Train, resuming from the last complete checkpoint if there is one.

    Args:
        trainer: a Trainer of transformers.
        work: folder of its checkpoints.
        name: title of the progress bar.

    Returns:
        The trainer's log, one dict per line.

    Raises:
        ModelError: the training diverged.
    """
    for printing in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(printing)
    trainer.add_callback(Steps(name))
    last = last_whole(work)
    if last:
        log.info("resuming from %s", last)
    trainer.train(resume_from_checkpoint=last)
    trainer.accelerator.wait_for_everyone()  # before one of them removes the checkpoints
    history = list(trainer.state.log_history)
    losses = [line["eval_loss"] for line in history if "eval_loss" in line]
    weights = all(bool(torch.isfinite(value).all()) for _, value in trained_weights(trainer.model))
    if not (np.isfinite(losses).all() and weights):
        raise ModelError(
            f"{name}: losses or weights are not finite, training diverged; lower its learning_rate "
            "in params.yaml"
        )
    return history


def reading_order(lengths: list[int], epochs: float, rows: int, seed: int) -> list[int]:
    """Return the order of training rows, in groups of `rows` of similar length; it depends on the seed alone.

    Thus a resumed run continues in the same order, while the trainer's own sampler would draw a new one.
    """
    chance = torch.Generator().manual_seed(seed)
    passes = range(int(np.ceil(epochs)))
    return [row for _ in passes for row in get_length_grouped_indices(lengths, rows, generator=chance)]


class _Trainer(WholeCheckpoints, SFTTrainer):
    """TRL's trainer with checkpoints that are marked once complete."""


def train_sft(
    model: PeftModel | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    held_out: Dataset,
    sizes: Sizes,
    work: Path,
    seed: int,
    name: str = "agent-sft",
    tracking: Tracking = UNTRACKED,
) -> list[dict[str, float]]:
    """Train all weights that require a gradient; `model` ends with the lowest held-out loss.

    Args:
        model: a PEFT model, or a model whose weights are all trained.
        tokenizer: for padding.
        train: result of `encoded`.
        held_out: the same, of other cases.
        sizes: learning rate, epochs, batch sizes.
        work: folder of this run's checkpoints, from which it resumes.
        seed: of order and dropout.
        name: title of the progress bar.
        tracking: where the log goes as well.

    Returns:
        The trainer's log, one dict per line.

    Raises:
        DataError: there are no trajectories to train on or to select the checkpoint on.
    """
    if not len(train) or not len(held_out):
        raise DataError(
            f"{len(train)} trajectories to train on, {len(held_out)} held out: too few were kept; raise "
            "trajectories.max_cases, rollouts or max_rank in params.yaml"
        )
    rows = sizes.batch_size * sizes.gradient_accumulation * world_size()  # per optimizer step
    steps = max(int(np.ceil(len(train) * sizes.epochs / rows)), 1)
    order = reading_order([len(ids) for ids in train["input_ids"]], sizes.epochs, rows, seed)
    every = max(steps // sizes.evaluations, 1)
    config = SFTConfig(
        output_dir=str(work), max_steps=steps, per_device_train_batch_size=sizes.batch_size,
        per_device_eval_batch_size=sizes.batch_size, gradient_accumulation_steps=sizes.gradient_accumulation,
        learning_rate=sizes.learning_rate, warmup_steps=max(steps // 10, 1), adam_beta2=0.95,
        lr_scheduler_type="cosine",
        eval_strategy="steps", save_strategy="steps", eval_steps=every, save_steps=every, save_total_limit=2,
        load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False,
        logging_steps=max(steps // 100, 1), bf16=False, seed=seed, data_seed=seed,
        dataloader_pin_memory=False, gradient_checkpointing=sizes.gradient_checkpointing,
        max_length=None, train_sampling_strategy="sequential", **tracking.arguments(),
    )  # fmt: skip
    trainer: Any = _Trainer(
        model=model, args=config, train_dataset=train.select(order), eval_dataset=held_out,
        processing_class=tokenizer,
    )  # fmt: skip
    return run(trainer, work, f"{name}, seed {seed}")

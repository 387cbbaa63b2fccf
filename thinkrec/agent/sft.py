"""Supervised training on trajectories by TRL's SFTTrainer; only what the agent itself says is learned."""

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
from thinkrec.processes import world_size

log = logging.getLogger(__name__)
NOTHING = -100  # label of a token that is not learned


@dataclass(frozen=True)
class Sizes:
    """How a model reads trajectories.

    Args:
        learning_rate: of AdamW, cosine after a warm-up of a tenth.
        epochs: passes over the trajectories.
        batch_size: trajectories of one forward pass, of each process.
        accumulation: forward passes of one optimizer step.
        evaluations: checkpoints whose held-out loss is measured.
        checkpointing: gradient checkpointing.
    """

    learning_rate: float
    epochs: float
    batch_size: int
    accumulation: int = 1
    evaluations: int = 4
    checkpointing: bool = False


def encoded(
    tokenizer: PreTrainedTokenizerBase,
    trajectories: Sequence[Trajectory],
    tools: dict[str, Callable[..., str]],
    most: int,
) -> tuple[Dataset, int]:
    """Token ids of trajectories, and which of them the agent said itself.

    Args:
        tokenizer: prepared for the agent.
        trajectories: whole episodes.
        tools: that were offered where an episode counts its calls; none otherwise.
        most: tokens; longer trajectories are left out.

    Returns:
        Columns input_ids and labels, and how many were too long.
    """
    schemas = {name: get_json_schema(tool) for name, tool in tools.items()}
    template, ids, labels = training_template(tokenizer), [], []
    for trajectory in trajectories:
        offered: Any = [schemas[name] for name in trajectory.calls if name in schemas] or None
        found: Any = tokenizer.apply_chat_template(
            trajectory.messages, tools=offered, chat_template=template, return_dict=True,
            return_assistant_tokens_mask=True, **TEMPLATE,
        )  # fmt: skip
        if len(found["input_ids"]) <= most:
            ids.append(list(found["input_ids"]))
            marks = zip(found["input_ids"], found["assistant_masks"], strict=True)
            labels.append([token if own else NOTHING for token, own in marks])
    return Dataset.from_dict({"input_ids": ids, "labels": labels}), len(trajectories) - len(ids)


def run(trainer: Any, work: Path, name: str) -> list[dict[str, float]]:
    """Train, from the last whole checkpoint where there is one; returns the log. `name` is the bar's.

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
            f"{name}: losses or weights are not finite, the training diverged; lower its learning_rate "
            "in params.yaml"
        )
    return history


def reading_order(lengths: list[int], epochs: float, rows: int, seed: int) -> list[int]:
    """Rows in the order in which they are read, of like length in each `rows`; by the seed alone.

    So a resumed run goes on in it, where a sampler of the trainer's would draw anew.
    """
    chance = torch.Generator().manual_seed(seed)
    passes = range(int(np.ceil(epochs)))
    return [row for _ in passes for row in get_length_grouped_indices(lengths, rows, generator=chance)]


class _Trainer(WholeCheckpoints, SFTTrainer):
    """TRL's trainer, whose checkpoints say when they are whole."""


def train_sft(
    model: PeftModel | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    held_out: Dataset,
    sizes: Sizes,
    work: Path,
    seed: int,
    name: str = "agent-sft",
) -> list[dict[str, float]]:
    """Train what requires a gradient; the checkpoint with the lowest held-out loss stays in `model`.

    Args:
        model: a PEFT model, or a plain one whose weights all train.
        tokenizer: for padding.
        train: as `encoded` makes it.
        held_out: the same, of other cases.
        sizes: learning rate, steps, sizes.
        work: folder of this very run's checkpoints; resumed from where there are any.
        seed: of order and dropout.
        name: of the progress bar.

    Returns:
        The trainer's log, one dict a line.

    Raises:
        DataError: there is nothing to train or to choose on.
    """
    if not len(train) or not len(held_out):
        raise DataError(
            f"{len(train)} trajectories to train on, {len(held_out)} held out: too few were kept; raise "
            "trajectories.cases, rollouts or best_rank in params.yaml"
        )
    read = sizes.batch_size * sizes.accumulation * world_size()
    steps = max(int(np.ceil(len(train) * sizes.epochs / read)), 1)
    order = reading_order([len(ids) for ids in train["input_ids"]], sizes.epochs, read, seed)
    every = max(steps // sizes.evaluations, 1)
    config = SFTConfig(
        output_dir=str(work), max_steps=steps, per_device_train_batch_size=sizes.batch_size,
        per_device_eval_batch_size=sizes.batch_size, gradient_accumulation_steps=sizes.accumulation,
        learning_rate=sizes.learning_rate, warmup_steps=max(steps // 10, 1), adam_beta2=0.95,
        lr_scheduler_type="cosine",
        eval_strategy="steps", save_strategy="steps", eval_steps=every, save_steps=every, save_total_limit=2,
        load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False,
        logging_steps=max(steps // 100, 1), bf16=False, seed=seed, data_seed=seed, report_to=[],
        dataloader_pin_memory=False, gradient_checkpointing=sizes.checkpointing,
        max_length=None, train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer: Any = _Trainer(
        model=model, args=config, train_dataset=train.select(order), eval_dataset=held_out,
        processing_class=tokenizer,
    )  # fmt: skip
    return run(trainer, work, f"{name}, seed {seed}")

"""Training with the joint loss: TRL's SFTTrainer for adapters, and the same loss for the projector."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import SFTConfig, SFTTrainer

from thinkrec.config.sections import Training
from thinkrec.errors import ModelError, StorageError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Batch, Example, Packed, collate, rows_per_batch, silent
from thinkrec.llm.checkpoints import last_whole
from thinkrec.llm.loss import Score, joint_loss
from thinkrec.llm.memory import fitting
from thinkrec.llm.packing import side_by_side
from thinkrec.llm.scorer import Asked, score
from thinkrec.llm.steps import Steps, WholeCheckpoints, trained_weights
from thinkrec.llm.student import Student, hidden_states
from thinkrec.llm.tracking import UNTRACKED, Tracking
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.processes import world_size

log = logging.getLogger(__name__)
NO_SPACE = 16_000_000  # free bytes below which a failed write is attributed to a full disk


@dataclass(frozen=True)
class Task:
    """What a training run needs besides the model.

    Args:
        backbone: for head, answers and padding.
        score: which logits make the score.
        valid: rows for the choice of the checkpoint.
        name: title of the progress bar.
    """

    backbone: Backbone
    score: Score
    valid: Asked
    name: str = "training"


class _Joint(WholeCheckpoints):
    """A trainer with the joint loss, its parts in the log, and the choice of the checkpoint on valid."""

    task: Task
    batch_size: int

    def hidden(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the last hidden states of a batch, [B, T, H]."""
        return hidden_states(model, batch, self.task.backbone)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the joint loss, averaged over the rows of the optimizer step (`num_items_in_batch`)."""
        batch = Batch.of({name: value for name, value in inputs.items() if name != "labels"})
        backbone = self.task.backbone
        found = joint_loss(self.hidden(model, batch), backbone.head, batch, backbone.answers, self.task.score)
        if not torch.isfinite(found.total).all():
            rows = batch.row[~torch.isfinite(found.total)].tolist()
            raise ModelError(f"the loss of rows {rows} is not finite: lower the learning rate or use float32")
        self._note(batch, found.bce.detach(), found.ce.detach())
        if num_items_in_batch is None:
            return found.total.mean()
        # num_items_in_batch counts the rows of all processes, whose gradients are averaged afterwards.
        return found.total.sum() * self.accelerator.num_processes / num_items_in_batch

    def _note(self, batch: Batch, bce: Tensor, ce: Tensor) -> None:
        """Collect the losses of each kind of sample for the log; an answer of one token is a verdict."""
        taught = batch.bce + batch.ce > 0
        reasoning = torch.bincount(batch.answered, minlength=len(ce)) > 1
        parts = {
            "bce": bce[taught & ~reasoning],
            "reasoning_bce": bce[taught & reasoning],
            "reasoning_ce": ce[taught & reasoning],
            "recommendation_ce": ce[~reasoning & (batch.ce > 0)],
        }
        noted: dict[str, list[Tensor]] = self.__dict__.setdefault("_noted", {})
        for name, values in parts.items():
            if len(values):
                noted.setdefault(name, []).append(values.mean())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the collected losses to a line of the log."""
        if "loss" in logs:
            noted: dict[str, list[Tensor]] = self.__dict__.pop("_noted", {})
            logs |= {name: float(torch.stack(values).mean()) for name, values in noted.items()}
        Trainer.log(self, logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        data: Any = self.train_dataset
        return SequentialSampler(data)

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return valid AUC and UAUC if defined, and the release's selection metric AUC / 4 + UAUC / 3."""
        task: Task = self.task
        model: Any = self.model
        was_training = model.training
        model.eval()
        size = 2 * self.batch_size
        found = score(lambda batch: self.hidden(model, batch), task.backbone, task.valid, size, task.score)
        model.train(was_training)
        values = ranking_metrics(task.valid.user, task.valid.label, found).values
        # An undefined metric counts as chance level in the selection, and is not logged.
        known = {name: value for name in ("auc", "uauc") if (value := values[name]) is not None}
        choice = known.get("auc", 0.5) / 4 + known.get("uauc", 0.5) / 3
        metrics = {f"eval_{name}": value for name, value in known.items()} | {"eval_choice": choice}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class AdapterTrainer(_Joint, SFTTrainer):
    """TRL's SFTTrainer with the joint loss, for a PEFT model."""


class ProjectorTrainer(_Joint):
    """The same loss for a projector with frozen adapters; checkpoints contain the projector alone."""

    projector: nn.Module

    def hidden(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the hidden states of the student."""
        found: Tensor = model(batch)
        return found

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.projector, str(folder / "projector.safetensors"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_model(self.projector, Path(resume_from_checkpoint) / "projector.safetensors")

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))


def laid(
    rows: Sequence[Example | Packed], training: Training, backbone: Backbone
) -> Sequence[Example | Packed]:
    """Return the rows of one forward pass, with prompts packed if `training.packing`."""
    plain = [row for row in rows if isinstance(row, Example)]
    return side_by_side(plain, backbone.placeholders[1]) if training.packing and plain else rows


def schedule(training: Training, samples: Sequence[Example | Packed]) -> tuple[int, int]:
    """Return the number of optimizer steps, and of steps between two scored checkpoints."""
    return _schedule(
        training, rows_per_batch(training, samples) * training.gradient_accumulation, len(samples)
    )


def _schedule(training: Training, rows: int, samples: int) -> tuple[int, int]:
    """Return the same for steps of `rows` rows per process."""
    steps = max(-(-samples // (rows * world_size())), 1)
    return steps, max(steps // training.evaluations, 1)


def _config(
    training: Training, folder: Path, sizes: tuple[int, int], samples: int, seed: int, tracking: Tracking
) -> SFTConfig:
    rows, accumulation = sizes
    steps, every = _schedule(training, rows * accumulation, samples)
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=accumulation,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        warmup_steps=min(training.warmup_steps, steps // 5),
        lr_scheduler_type="cosine",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_choice",
        greater_is_better=True,
        logging_steps=max(steps // 100, 1),
        bf16=False,
        seed=seed,
        data_seed=seed,
        disable_tqdm=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        gradient_checkpointing=training.gradient_checkpointing,
        **tracking.arguments(),
    )


def train(
    model: nn.Module,
    samples: Sequence[Example | Packed],
    task: Task,
    training: Training,
    work: Path,
    seed: int,
    rows: int | None = None,
    tracking: Tracking = UNTRACKED,
) -> list[dict[str, float]]:
    """Train all weights that require a gradient; `model` ends with those of the best checkpoint.

    If memory runs out, training restarts, from its last checkpoint if there is one, with smaller batches and
    more accumulation, so that optimizer steps keep their rows; this is logged. With several processes it
    stops instead.

    Args:
        model: a PEFT model, or a Student whose projector is trained.
        samples: in the order of training (see `training_samples`).
        task: scoring and valid rows.
        training: learning rate, steps, sizes.
        work: folder of this run's checkpoints, from which it resumes.
        seed: of dropout.
        rows: rows per forward pass, for `samples` that are a part of those for `rows_per_batch`; it is not
            reduced.
        tracking: where the log goes as well.

    Returns:
        The trainer's log, one dict per line.

    Raises:
        ModelError: a loss is not finite, one of several processes runs out of memory, or FSDP is used.
        StorageError: a checkpoint does not fit on the disk.
    """
    backbone = task.backbone

    def batched(drawn: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        batch = collate(laid([samples[row["number"]] for row in drawn], training, backbone), backbone.pad)
        # The trainer counts rows by `labels`, possibly without the first column, which a causal loss drops.
        nothing = torch.full_like(batch.row, -100)
        taught = torch.where(batch.bce + batch.ce > 0, batch.label.long(), nothing)
        counted = torch.stack([nothing, taught], dim=1)
        return {**batch.flat(), "labels": counted}

    size, accumulation = rows or rows_per_batch(training, samples), training.gradient_accumulation
    if world_size() > 1:  # otherwise the first rows would be repeated to fill the last batch of each process
        samples = [*samples, *([silent(samples[0])] * (-len(samples) % (size * world_size())))]
    start = {name: weight.detach().clone() for name, weight in trained_weights(model)}

    def trained(sizes: tuple[int, int]) -> list[dict[str, float]]:
        with torch.no_grad():
            for name, weight in trained_weights(model):
                weight.copy_(start[name])
                weight.grad = None
        return _train(model, batched, len(samples), task, training, work, seed, sizes, tracking)

    return fitting(trained, (size, accumulation), (lambda _: None) if rows else _smaller)[0]


def _smaller(sizes: tuple[int, int]) -> tuple[int, int] | None:
    """Return fewer rows per pass and more passes per step of the same rows; None for a single row."""
    size, accumulation = sizes
    if size == 1:
        return None
    if world_size() > 1:  # the other processes wait for this one within a step
        raise ModelError(
            f"out of memory with {size} rows a pass: halve batch_size and double gradient_accumulation in "
            "params.yaml, then run again"
        )
    parts = next(part for part in range(2, size + 1) if size % part == 0)
    size, accumulation = size // parts, accumulation * parts
    log.warning("out of memory: continuing with %d rows a pass, %d passes a step", size, accumulation)
    return size, accumulation


def _train(
    model: nn.Module,
    batched: Callable[[Sequence[dict[str, int]]], dict[str, Tensor]],
    samples: int,
    task: Task,
    training: Training,
    work: Path,
    seed: int,
    sizes: tuple[int, int],
    tracking: Tracking,
) -> list[dict[str, float]]:
    """Train with `sizes`: rows per pass, and passes per step."""
    from datasets import Dataset

    backbone = task.backbone
    kind: Any = ProjectorTrainer if isinstance(model, Student) else AdapterTrainer
    options = {} if isinstance(model, Student) else {"processing_class": backbone.tokenizer}
    trainer = kind(
        model=model,
        args=_config(training, work, sizes, samples, seed, tracking),
        train_dataset=Dataset.from_dict({"number": list(range(samples))}),
        eval_dataset=Dataset.from_dict({"number": [0]}),
        data_collator=batched,
        **options,
    )
    if trainer.is_fsdp_enabled:
        raise ModelError(
            "FSDP is not supported: what is read beside the model's own call, its head and its adapters, "
            "would be in shards; launch without it, and set backbone.load_in_4bit where a model is too large"
        )
    trainer.task, trainer.batch_size = task, training.batch_size
    for printing in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(printing)
    trainer.add_callback(Steps(task.name, at_most=bool(training.patience)))
    if training.patience:
        trainer.add_callback(EarlyStoppingCallback(training.patience))
    if isinstance(model, Student):
        trainer.projector = model.projector
    trainer.model_accepts_loss_kwargs = True
    last = last_whole(work)
    if last is not None:
        log.info("resuming from %s", last)
    try:
        trainer.train(resume_from_checkpoint=last)
        trainer.accelerator.wait_for_everyone()  # before one process removes the checkpoints
    except (RuntimeError, OSError, SafetensorError) as error:
        # torch and safetensors hide the errno when a checkpoint does not fit.
        if work.exists() and shutil.disk_usage(work).free < NO_SPACE:
            raise StorageError(f"cannot write {work}: no space left; free some, then run again") from error
        raise
    finally:
        if isinstance(model, Student) and model.bank is not None:
            model.bank.release()
    return list(trainer.state.log_history)

"""Calibration: times the stage's own code on a few of its own batches."""

from __future__ import annotations

import ctypes
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from thinkrec.config.sections import Evaluate
from thinkrec.costs.work import Shapes
from thinkrec.errors import ModelError
from thinkrec.llm import trainer
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Batch, Example, Packed, by_length
from thinkrec.llm.generate import generate_reasons
from thinkrec.llm.memory import fitting
from thinkrec.llm.plan import Plan
from thinkrec.llm.scorer import Asked, score
from thinkrec.llm.student import Student
from thinkrec.llm.trainer import Task
from thinkrec.machine import free_memory
from thinkrec.systems.language import Scoring

MAX_STEPS = 50  # optimizer steps of one calibration
DECODED = 16  # tokens generated to time one
CPU_ROWS = 8  # rows of a batch that a calibration without a GPU runs
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """A measurement.

    Args:
        seconds: duration of the timed batches.
        tokens: their tokens, including padding.
        batches: their number.
    """

    seconds: float
    tokens: int
    batches: int

    @property
    def per_token(self) -> float:
        """Seconds per token, including padding."""
        return self.seconds / max(self.tokens, 1)


def now() -> float:
    """Synchronise the device and read a clock, in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def clocked(module: nn.Module) -> Iterator[list[tuple[float, bool]]]:
    """Record the time of each call of a module in the block, and whether it is in training mode."""
    marks: list[tuple[float, bool]] = []
    handle = module.register_forward_pre_hook(lambda called, _: marks.append((now(), called.training)))
    try:
        yield marks
    finally:
        handle.remove()


@contextmanager
def restored_weights(model: nn.Module) -> Iterator[None]:
    """Restore the trainable weights when the block ends."""
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(before[name])
                weight.grad = None


def forget_memory() -> None:
    """Free unreferenced memory, to the system as well, and reset the GPU's peak."""
    gc.collect()
    with suppress(OSError, AttributeError):  # where the C library is another
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def grown_memory() -> Iterator[list[int]]:
    """Record by how many bytes this process grows at most in the block, as [bytes], sampled."""
    process, grown, over = psutil.Process(), [0], Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.01):
            grown[0] = max(grown[0], process.memory_info().rss - before)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield grown
    finally:
        over.set()
        thread.join()


def touch(model: nn.Module) -> None:
    """Read a weight of each page of a model, so that files mapped into memory count as read before a run."""
    for weight in model.parameters():
        weight.detach().flatten()[::1024].sum()


def find_batch_size(
    run: Callable[[int], T], size: int, tokens: Callable[[int], int], name: str
) -> tuple[T, int, int]:
    """Run with batches of `size` rows, halved until they fit into memory.

    Without a GPU at most `CPU_ROWS` rows are run, since a process that takes too much memory is killed there
    and does not hear of it. What a larger batch takes is extrapolated: as much for each token.

    Args:
        run: called with a size; times a part of the work.
        size: rows of a batch that params.yaml asks for.
        tokens: of the longest batch of a size, padding included.
        name: of the part, for the log.

    Returns:
        The run's result, the size that fits, and the bytes that it takes beyond those of the run.

    Raises:
        ModelError: not even one row fits.
    """
    on_gpu = torch.cuda.is_available()
    first = size if on_gpu else min(size, CPU_ROWS)
    log.info(
        "timing %s: %s",
        name,
        f"{first} rows of a batch" if first == size else f"{first} of {size} rows of a batch",
    )

    def fresh(rows: int) -> T:
        if rows < first:
            forget_memory()  # else the peak includes the failed run
        return run(rows)

    def smaller(rows: int) -> int:
        if rows == 1:
            raise ModelError(
                "not even a batch of one row fits into memory: turn on gradient checkpointing "
                "(`gradient_checkpointing: true`), shorten prompts (prompt.history_length), or take a "
                "smaller backbone"
            )
        return rows // 2

    if not on_gpu:  # there it would reset the peak of earlier parts
        forget_memory()
    with grown_memory() as grown:
        found, rows = fitting(fresh, first, smaller)
    if rows < first or on_gpu:
        return found, rows, 0
    forget_memory()
    fits, each, free = size, grown[0] / max(tokens(rows), 1), free_memory()[0]
    while fits > rows and each * tokens(fits) > free:
        fits = max(fits // 2, rows)
    return found, fits, int(each * (tokens(fits) - tokens(rows)))


def make_batches(examples: Sequence[Example | Packed], size: int) -> list[Sequence[Example | Packed]]:
    """Split examples into batches of `size`, in order; the last one may be smaller."""
    return [examples[k : k + size] for k in range(0, len(examples), size)]


def spread_batches(
    batches: Sequence[Sequence[Example | Packed]], count: int
) -> list[Sequence[Example | Packed]]:
    """Select `count` batches evenly from the shortest to the longest, with repeats if there are fewer."""
    ordered = sorted(batches, key=lambda batch: Shapes.of([batch]).padded[0])
    indices = ((np.arange(count) + 0.5) * len(ordered) / count).astype(int)
    return [ordered[index] for index in indices]


def time_training(plan: Plan[Any], seed: int, seconds: float) -> Pace:
    """Train for some steps with the stage's own trainer; weights are restored.

    The first step, with the longest batches, reaches the peak of memory and is not timed. The timed batches
    are spread evenly over the lengths.

    Args:
        plan: of the training, with its batch size.
        seed: random seed of dropout.
        seconds: approximate duration, at most about twice as long.
    """
    with restored_weights(plan.model), TemporaryDirectory() as folder:
        pace = _train(plan, 1, seed, Path(folder) / "first")
        step = pace.seconds / pace.batches * plan.training.gradient_accumulation
        steps = min(int(seconds / step), MAX_STEPS)
        return _train(plan, steps, seed, Path(folder) / "second") if steps > 1 else pace


def _train(plan: Plan[Any], steps: int, seed: int, folder: Path) -> Pace:
    size = min(trainer.rows_per_batch(plan.training, plan.samples), len(plan.samples))
    accumulation = plan.training.gradient_accumulation
    batches = [batch for batch in make_batches(plan.samples, size) if len(batch) == size]
    shape = {
        id(batch): Shapes.of([trainer.laid(batch, plan.training, plan.task.backbone)]) for batch in batches
    }
    longest = max(batches, key=lambda batch: shape[id(batch)].padded[0])
    timed = spread_batches(batches, accumulation * steps)
    chosen = [*[longest] * accumulation, *timed, longest]  # the last marks the end of the timed ones
    samples = [row for batch in chosen for row in batch]
    training = plan.training.model_copy(update={"evaluations": 1})
    task = replace(plan.task, valid=plan.task.valid.first(), name="timing")
    with clocked(plan.model) as marks:
        trainer.train(plan.model, samples, task, training, folder, seed, rows=size)
    times = np.array([when for when, training in marks if training])
    taken = float(times[len(chosen) - 1] - times[accumulation])
    return Pace(taken, int(sum(shape[id(batch)].padded[0] for batch in timed)), len(timed))


def hidden_of(model: nn.Module, backbone: Backbone) -> Callable[[Batch], Tensor]:
    """Return the function with which the trainer computes this model's last hidden states."""
    return model if isinstance(model, Student) else partial(trainer.hidden_states, model, backbone=backbone)


def time_scoring(model: nn.Module, task: Task, size: int, seconds: float) -> Pace:
    """Score some batches in random order, after the longest, which is not timed.

    Args:
        model: a PEFT model or a Student.
        task: prompts and score.
        size: rows per forward pass.
        seconds: approximate duration; at least one batch is timed.
    """
    backbone = task.backbone
    hidden = hidden_of(model, backbone)
    batches = [[row for _, row in batch] for batch in task.valid.batches(size)]

    def seconds_of(batch: Sequence[Example | Packed]) -> float:
        asked, start = Asked.of_rows(batch), now()
        score(hidden, backbone, asked, len(asked), task.score)
        return now() - start

    was_training = model.training
    model.eval()
    seconds_of(batches[0])
    taken, chosen = 0.0, []
    for number in np.random.default_rng(0).permutation(len(batches)):
        taken += seconds_of(batches[number])
        chosen.append(batches[number])
        if taken > seconds:
            break
    model.train(was_training)
    return Pace(taken, int(Shapes.of(chosen).padded.sum()), len(chosen))


def time_reasons(scoring: Scoring, options: Evaluate, seed: int) -> tuple[Pace, Pace]:
    """Generate some tokens for the longest batch, after a warm-up.

    Returns:
        The pace of reading prompts, and of generation, with steps as batches and new tokens as tokens.
    """
    longest = [scoring.questions[number] for number in next(by_length(scoring.questions, scoring.size))]
    short = options.model_copy(
        update={"max_reason_tokens": min(DECODED, options.max_reason_tokens), "batch_size": scoring.size}
    )
    for _ in range(2):
        with clocked(scoring.student.model.model) as marks:
            generate_reasons(scoring.student, longest, short, seed)
            end = now()
    taken = np.diff([when for when, _ in marks] + [end])
    writing = Pace(float(taken[1:].sum()), len(longest) * (len(taken) - 1), len(taken) - 1)
    return Pace(float(taken[0]), int(Shapes.of([longest]).padded[0]), 1), writing

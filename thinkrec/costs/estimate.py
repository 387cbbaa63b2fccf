"""Cost estimates of stages: exact counts, and time and memory from a short calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from thinkrec.config.sections import Evaluate
from thinkrec.costs.measure import (
    DECODED,
    Pace,
    find_batch_size,
    make_batches,
    now,
    time_reasons,
    time_scoring,
    time_training,
    touch,
)
from thinkrec.costs.work import Shapes, Sizes, backward_flops, decode_flops, forward_flops, head_width
from thinkrec.llm.batches import Example, Packed, by_length, count_targets, targets_of
from thinkrec.llm.plan import Plan
from thinkrec.llm.scorer import Asked
from thinkrec.llm.trainer import Task, laid, rows_per_batch, schedule
from thinkrec.systems.language import Scoring

SECONDS = {"training": 6.0, "scoring": 2.0}
"""Duration of a calibration without warm-up; one per training and per system."""


@dataclass(frozen=True)
class Spread:
    """Total, mean and maximum number of tokens of rows."""

    total: int
    mean: float
    longest: int

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        """Summarise counts, one per row."""
        values = np.asarray(counts, dtype=np.int64)
        return cls(
            int(values.sum()), float(values.mean()) if len(values) else 0.0, int(values.max(initial=0))
        )


@dataclass(frozen=True)
class Part:
    """One part of a stage's work on the language model.

    Args:
        name: of the part.
        recommendation: rows whose answer, if any, is one token.
        reasoning: rows whose answer is a rationale.
        prompt: tokens of the prompts.
        answer: tokens of the answers.
        passes: number of passes over all rows.
        padded: tokens per pass, including padding.
        size: rows per batch.
        requested: rows per batch in params.yaml, which may not fit into memory.
        steps: optimizer steps, 0 without training.
        flops: floating-point operations of all passes.
        seconds: estimated seconds of all passes.
        paces: the measurements behind them.
        calibration_seconds: duration of the calibration.
        extra_bytes: device memory of the whole run beyond that of the calibration.
    """

    name: str
    recommendation: int
    reasoning: int
    prompt: Spread
    answer: Spread
    passes: int
    padded: int
    size: int
    requested: int
    steps: int
    flops: float
    seconds: float
    paces: tuple[Pace, ...]
    calibration_seconds: float
    extra_bytes: int = 0


def counts_of(rows: Sequence[Example | Packed]) -> dict[str, Any]:
    """Count rows by kind of answer, and tokens of prompts and answers per row of a batch."""
    answers = [len(target.answer) for row in rows for target in targets_of(row)]
    reasoning = sum(count > 1 for count in answers)
    answer_tokens = [sum(len(target.answer) for target in targets_of(row)) for row in rows]
    # The last token of each packed answer is not read.
    unread = [count_targets(row) if isinstance(row, Packed) else 0 for row in rows]
    prompts = [
        len(row.ids) - max(count - skipped, 0)
        for row, count, skipped in zip(rows, answer_tokens, unread, strict=True)
    ]
    return {
        "recommendation": len(answers) - reasoning,
        "reasoning": reasoning,
        "prompt": Spread.of(prompts),
        "answer": Spread.of(answers),
    }


def example_rows(rows: Asked) -> list[Example | Packed]:
    """List the rows to be scored."""
    return [row for _, row in rows.rows]


def training_parts(plan: Plan[Any], seed: int) -> Iterator[Part]:
    """Estimate a training: its steps, then the scoring of valid at each checkpoint.

    Raises:
        ModelError: not even a batch of one row fits into memory.
    """
    training, start = plan.training, now()
    rows = training.batch_size * training.gradient_accumulation

    def with_size(size: int) -> Plan[Any]:
        values = {"batch_size": size, "gradient_accumulation": -(-rows // size)}
        if size == training.batch_size:
            return plan
        return replace(plan, training=training.model_copy(update=values))

    @cache
    def shapes_of(size: int) -> Shapes:
        batches = make_batches(plan.samples, rows_per_batch(with_size(size).training, plan.samples))
        return Shapes.of(laid(batch, training, plan.task.backbone) for batch in batches)

    def timed(size: int) -> Pace:
        one_pass = training.model_copy(update={"batch_size": size, "gradient_accumulation": 1})
        return time_training(replace(plan, training=one_pass), seed, SECONDS["training"])

    name = f"{plan.name}: training"
    touch(plan.model)
    pace, size, extra = find_batch_size(
        timed, training.batch_size, lambda size: int(shapes_of(size).padded.max()), name
    )
    shapes = shapes_of(size)
    sizes = Sizes.of(plan.model, plan.task.backbone, training.gradient_checkpointing)
    steps, every = schedule(with_size(size).training, plan.samples)
    yield Part(
        name,
        **counts_of(plan.samples),
        passes=1,
        padded=int(shapes.padded.sum()),
        size=size,
        requested=training.batch_size,
        steps=steps,
        flops=forward_flops(shapes, sizes) + backward_flops(shapes, sizes, training.gradient_checkpointing),
        seconds=pace.per_token * int(shapes.padded.sum()),
        paces=(pace,),
        calibration_seconds=now() - start,
        extra_bytes=extra,
    )
    if len(plan.task.valid):
        yield _scored(plan.model, plan.task, 2 * size, f"{plan.name}: validation", -(-steps // every))


def _scored(model: Any, task: Task, requested: int, name: str, passes: int) -> Part:
    start = now()
    touch(model)
    pace, size, extra = find_batch_size(
        lambda size: time_scoring(model, task, size, SECONDS["scoring"]),
        requested,
        lambda size: int(scored_shapes(task.valid, size).padded.max()),
        name,
    )
    shapes, sizes = scored_shapes(task.valid, size), Sizes.of(model, task.backbone)
    return Part(
        name,
        **counts_of(example_rows(task.valid)),
        passes=passes,
        padded=int(shapes.padded.sum()),
        size=size,
        requested=requested,
        steps=0,
        flops=passes * forward_flops(shapes, sizes),
        seconds=passes * pace.per_token * int(shapes.padded.sum()),
        paces=(pace,),
        calibration_seconds=now() - start,
        extra_bytes=extra,
    )


def scored_shapes(rows: Asked, size: int) -> Shapes:
    """Return the shapes of the batches in which rows are scored."""
    return Shapes.of([[row for _, row in batch] for batch in rows.batches(size)])


def scoring_part(plan: Scoring, passes: int = 1) -> Part:
    """Estimate the scoring of all rows by one system, several times over.

    Raises:
        ModelError: not even one row fits into memory.
    """
    task = Task(plan.student.backbone, plan.kind, plan.asked)
    return _scored(plan.student, task, plan.size, plan.name, passes)


def reason_part(plan: Scoring, texts: Sequence[str], options: Evaluate, seed: int) -> Part:
    """Estimate the generation of reasons as long as the references; rows are scored once before.

    Where larger batches are generated than were timed, each row takes as long as in those.

    Raises:
        ModelError: not even one row fits into memory.
    """
    start, backbone = now(), plan.student.backbone
    (read, write), size, extra = find_batch_size(
        lambda size: time_reasons(replace(plan, size=size), options, seed),
        plan.size,
        lambda size: int(scored_shapes(Asked.of_rows(plan.questions), size).padded.max()),
        "reasons",
    )
    lengths = np.minimum(answer_lengths(backbone.tokenizer, texts), options.max_reason_tokens)

    def steps_of(rows: int) -> np.ndarray:
        return np.array([lengths[index].max() for index in by_length(plan.questions, rows)])

    steps, timed = steps_of(size), steps_of(write.tokens // max(write.batches, 1) or size)
    shapes, sizes = scored_shapes(Asked.of_rows(plan.questions), size), Sizes.of(plan.student, backbone)
    counts = counts_of(plan.questions) | {"answer": Spread.of(lengths.tolist())}
    config: Any = backbone.model.config
    longer = max(options.max_reason_tokens - DECODED, 0)
    cached = 2 * config.num_hidden_layers * config.num_key_value_heads * head_width(config)
    return Part(
        "reasons",
        **counts | {"reasoning": len(texts), "recommendation": 0},
        passes=2,
        padded=int(shapes.padded.sum()),
        size=size,
        requested=plan.size,
        steps=0,
        flops=2 * forward_flops(shapes, sizes) + decode_flops(shapes, sizes, steps),
        seconds=2 * read.per_token * int(shapes.padded.sum())
        + write.seconds / max(write.batches, 1) * int(timed.sum()),
        paces=(read, write),
        calibration_seconds=now() - start,
        extra_bytes=extra + longer * size * cached * backbone.head.element_size(),
    )


def answer_lengths(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> np.ndarray:
    """Count the tokens of each text, including the end token, [n]."""
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return np.array([len(each) + 1 for each in ids], dtype=np.int64)


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a stage on this device.

    Args:
        stage: the stage.
        dataset: the data set.
        model: the backbone that was measured, and what is to be known of it.
        parts: of its work.
        preparing: measured seconds of loading the model and writing the prompts.
        device: the device.
        memory: estimated peak memory of the process, in bytes.
        gpu_memory: estimated peak memory on the GPU, in bytes; None on a CPU.
        stand_ins: missing artifacts, replaced by untrained ones.
        left_out: work that is not included.
    """

    stage: str
    dataset: str
    model: str
    parts: list[Part]
    preparing: float
    device: str
    memory: int
    gpu_memory: int | None
    stand_ins: list[str]
    left_out: str

    @property
    def seconds(self) -> float:
        """Total seconds."""
        return self.preparing + sum(part.seconds for part in self.parts)

    @property
    def flops(self) -> float:
        """Total floating-point operations."""
        return sum(part.flops for part in self.parts)

"""What a stage would cost: exact counts of its work, and time and memory from a short calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from thinkrec.config.sections import Evaluate
from thinkrec.costs.measure import DECODED, Pace, cut, halved, now, time_reasons, time_scoring, time_training
from thinkrec.costs.work import Shapes, Sizes, backward_flops, decode_flops, forward_flops, head_width
from thinkrec.llm.batches import Example, Packed, by_length, count_targets, targets_of
from thinkrec.llm.plan import Plan
from thinkrec.llm.scorer import Asked
from thinkrec.llm.trainer import Task, laid, rows_per_batch, schedule
from thinkrec.systems.language import Scoring

SECONDS = {"training": 6.0, "scoring": 2.0}
"""How long a calibration measures, after its warm-up; one for each run and each system."""


@dataclass(frozen=True)
class Spread:
    """Tokens of all rows together, of the mean row and of the longest."""

    total: int
    mean: float
    longest: int

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        """The spread of these counts, one a row."""
        found = np.asarray(counts, dtype=np.int64)
        return cls(int(found.sum()), float(found.mean()) if len(found) else 0.0, int(found.max(initial=0)))


@dataclass(frozen=True)
class Part:
    """One part of a stage's work on the language model.

    Args:
        name: what is done.
        recommendation: rows whose answer, if any, is one token.
        reasoning: rows whose answer is a rationale.
        prompt: tokens of the rows' prompts.
        answer: tokens of their answers.
        passes: how often all rows are read.
        padded: tokens computed in one pass, padding included.
        size: rows of a batch.
        asked: the same as params.yaml has it, which may not fit into memory.
        steps: optimizer steps, 0 where nothing trains.
        flops: floating-point operations of all passes.
        seconds: estimated, of all passes.
        paces: what that rests on.
        took: seconds of the calibration.
        grows: bytes on the device that the whole run takes beyond what the calibration did.
    """

    name: str
    recommendation: int
    reasoning: int
    prompt: Spread
    answer: Spread
    passes: int
    padded: int
    size: int
    asked: int
    steps: int
    flops: float
    seconds: float
    paces: tuple[Pace, ...]
    took: float
    grows: int = 0


def counted(rows: Sequence[Example | Packed]) -> dict[str, Any]:
    """A part's counts of rows of the data and of tokens; prompts are those of rows of a batch."""
    answers = [len(target.answer) for row in rows for target in targets_of(row)]
    reasoning = sum(count > 1 for count in answers)
    said = [sum(len(target.answer) for target in targets_of(row)) for row in rows]
    unsaid = [count_targets(row) if isinstance(row, Packed) else 0 for row in rows]  # the last token of each
    prompts = [len(row.ids) - max(each - less, 0) for row, each, less in zip(rows, said, unsaid, strict=True)]
    return {
        "recommendation": len(answers) - reasoning,
        "reasoning": reasoning,
        "prompt": Spread.of(prompts),
        "answer": Spread.of(answers),
    }


def asked_rows(asked: Asked) -> list[Example | Packed]:
    """The rows that ask."""
    return [row for _, row in asked.rows]


def training_parts(plan: Plan[Any], seed: int) -> Iterator[Part]:
    """Costs of a training run: its steps, then the scoring of valid at each checkpoint.

    Raises:
        ModelError: not even a batch of one row fits into memory.
    """
    asked, start = plan.training, now()
    rows = asked.batch_size * asked.gradient_accumulation

    def sized(size: int) -> Plan[Any]:
        values = {"batch_size": size, "gradient_accumulation": -(-rows // size)}
        return plan if size == asked.batch_size else replace(plan, training=asked.model_copy(update=values))

    pace, size = halved(lambda size: time_training(sized(size), seed, SECONDS["training"]), asked.batch_size)
    batches = cut(plan.samples, rows_per_batch(sized(size).training, plan.samples))
    shapes = Shapes.of(laid(batch, asked, plan.task.backbone) for batch in batches)
    sizes = Sizes.of(plan.model, plan.task.backbone, asked.gradient_checkpointing)
    steps, every = schedule(sized(size).training, plan.samples)
    yield Part(
        f"{plan.name}: training",
        **counted(plan.samples),
        passes=1,
        padded=int(shapes.padded.sum()),
        size=size,
        asked=asked.batch_size,
        steps=steps,
        flops=forward_flops(shapes, sizes) + backward_flops(shapes, sizes, asked.gradient_checkpointing),
        seconds=pace.per_token * int(shapes.padded.sum()),
        paces=(pace,),
        took=now() - start,
    )
    if len(plan.task.valid):
        yield _scored(plan.model, plan.task, 2 * size, f"{plan.name}: validation", -(-steps // every))


def _scored(model: Any, task: Task, asked: int, name: str, passes: int) -> Part:
    start = now()
    pace, size = halved(lambda size: time_scoring(model, task, size, SECONDS["scoring"]), asked)
    shapes, sizes = scored_shapes(task.valid, size), Sizes.of(model, task.backbone)
    return Part(
        name,
        **counted(asked_rows(task.valid)),
        passes=passes,
        padded=int(shapes.padded.sum()),
        size=size,
        asked=asked,
        steps=0,
        flops=passes * forward_flops(shapes, sizes),
        seconds=passes * pace.per_token * int(shapes.padded.sum()),
        paces=(pace,),
        took=now() - start,
    )


def scored_shapes(asked: Asked, size: int) -> Shapes:
    """The batches in which rows are scored."""
    return Shapes.of([[row for _, row in batch] for batch in asked.batches(size)])


def scoring_part(plan: Scoring) -> Part:
    """Costs of scoring all rows by one system.

    Raises:
        ModelError: not even one row fits into memory.
    """
    task = Task(plan.student.backbone, plan.kind, plan.asked)
    return _scored(plan.student, task, plan.size, plan.name, 1)


def reason_part(plan: Scoring, texts: Sequence[str], options: Evaluate, seed: int) -> Part:
    """Costs of giving reasons, if they are as long as the references; rows are scored once before.

    Raises:
        ModelError: not even one row fits into memory.
    """
    start, backbone = now(), plan.student.backbone
    (read, write), size = halved(
        lambda size: time_reasons(replace(plan, size=size), options, seed), plan.size
    )
    lengths = np.minimum(answer_lengths(backbone.tokenizer, texts), options.max_reason_tokens)
    batches = list(by_length(plan.questions, size))
    steps = np.array([lengths[index].max() for index in batches])
    shapes, sizes = scored_shapes(Asked.of_rows(plan.questions), size), Sizes.of(plan.student, backbone)
    counts = counted(plan.questions) | {"answer": Spread.of(lengths.tolist())}
    config: Any = backbone.model.config
    cached = 2 * config.num_hidden_layers * config.num_key_value_heads * head_width(config)
    return Part(
        "reasons",
        **counts | {"reasoning": len(texts), "recommendation": 0},
        passes=2,
        padded=int(shapes.padded.sum()),
        size=size,
        asked=plan.size,
        steps=0,
        flops=2 * forward_flops(shapes, sizes) + decode_flops(shapes, sizes, steps),
        seconds=2 * read.per_token * int(shapes.padded.sum())
        + write.seconds / max(write.batches, 1) * int(steps.sum()),
        paces=(read, write),
        took=now() - start,
        grows=max(options.max_reason_tokens - DECODED, 0) * size * cached * backbone.head.element_size(),
    )


def answer_lengths(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> np.ndarray:
    """Tokens of each text and of the answer's end, [n]."""
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return np.array([len(each) + 1 for each in ids], dtype=np.int64)


@dataclass(frozen=True)
class Estimate:
    """What one run of a stage would cost on this device.

    Args:
        stage: the stage.
        dataset: the data set.
        parts: of its work.
        preparing: seconds of loading the model and writing the prompts, measured.
        device: what it was measured on.
        memory: bytes, peak of the process, estimated.
        gpu_memory: bytes, peak on the GPU, estimated; None on a CPU.
        stand_ins: artifacts that are not there yet; untrained ones stood in for them.
        left_out: what the stage does besides, not costed.
    """

    stage: str
    dataset: str
    parts: list[Part]
    preparing: float
    device: str
    memory: int
    gpu_memory: int | None
    stand_ins: list[str]
    left_out: str

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.preparing + sum(part.seconds for part in self.parts)

    @property
    def flops(self) -> float:
        """All of it."""
        return sum(part.flops for part in self.parts)

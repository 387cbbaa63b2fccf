"""What a stage is about to do on the language model, laid out before it is done: a stage runs it, a dry run
costs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from torch import nn

from thinkrec.config.sections import Training
from thinkrec.data.tables import Interactions
from thinkrec.llm.batches import Example, Packed
from thinkrec.llm.examples import asked_of, asked_one_by_one
from thinkrec.llm.loss import Score
from thinkrec.llm.scorer import Asked
from thinkrec.llm.student import Student
from thinkrec.llm.trainer import Task
from thinkrec.prompts.render import PromptWriter

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Plan(Generic[Model]):
    """One training run.

    Args:
        name: as in the training curve.
        model: what trains, as `thinkrec.llm.trainer.train` takes it.
        samples: in the order in which they are read.
        task: scoring, and the rows on which the checkpoint is chosen.
        training: sizes, steps, learning rate.
        rows: recommendation rows that the samples were drawn from.
        rationales: rationales at hand.
    """

    name: str
    model: Model
    samples: Sequence[Example | Packed]
    task: Task
    training: Training
    rows: int
    rationales: int

    @property
    def weights(self) -> int:
        """Count of weights that train."""
        return sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)


@dataclass(frozen=True)
class Scoring:
    """Rows to be scored by one system.

    Args:
        name: the system's.
        student: the system.
        writer: of its prompts.
        data: the interactions.
        rows: numbers of the rows, [n].
        size: scores of one forward pass.
        kind: which logits make the score.
    """

    name: str
    student: Student
    writer: PromptWriter
    data: Interactions
    rows: np.ndarray
    size: int
    kind: Score

    @cached_property
    def asked(self) -> Asked:
        """What asks for the scores, many in a row where that pays."""
        return asked_of(self.writer, self.data, self.rows)

    @cached_property
    def questions(self) -> Sequence[Example | Packed]:
        """One row of a batch for each of the rows, for generation."""
        return asked_one_by_one(self.writer, self.data, self.rows)

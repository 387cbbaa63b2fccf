"""What a stage is about to do on the language model, laid out before it is done: a stage runs it, a dry run
costs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import nn

from thinkrec.config.sections import Training
from thinkrec.llm.batches import Example, Packed
from thinkrec.llm.trainer import Task

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

"""The plan of a training run on the language model: a stage executes it, a dry run estimates its cost."""

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
        name: in the training curve.
        model: the model to train, see `thinkrec.llm.trainer.train`.
        samples: in the order of training.
        task: scoring, and the rows for the choice of the checkpoint.
        training: sizes, steps, learning rate.
        rows: number of recommendation rows that the samples were drawn from.
        rationales: number of available rationales.
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
        """Number of trained weights."""
        return sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)

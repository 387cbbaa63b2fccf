"""Examples and batches: prompts as padded tensors, with what the joint loss needs of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """One prompt, with or without its answer.

    Args:
        ids: token ids of prompt and answer.
        start: index of the first answer token; the score is read one token before.
        label: 1 liked, 0 not.
        bce: weight of the binary cross-entropy of the score.
        ce: weight of the token cross-entropy of the answer.
        user: user id, for the gate and the user's vector.
        items: item ids behind the item placeholders, in order.
        row: row number in the interactions.
    """

    ids: list[int]
    start: int
    label: int
    bce: float = 1.0
    ce: float = 0.0
    user: int = 0
    items: list[int] = field(default_factory=list)
    row: int = -1

    def as_dict(self) -> dict[str, Any]:
        """Plain columns, for a data set."""
        return asdict(self)


@dataclass(frozen=True)
class Batch:
    """Shapes: B rows, T tokens, padded on the right. See Example for the meaning."""

    ids: Tensor  # [B, T] int64
    start: Tensor  # [B] int64
    end: Tensor  # [B] int64, length of the row
    label: Tensor  # [B] float32
    bce: Tensor  # [B] float32
    ce: Tensor  # [B] float32
    user: Tensor  # [B] int64
    items: Tensor  # [number of item placeholders in the batch] int64, row by row
    row: Tensor  # [B] int64

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """Pad examples on the right to the longest."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), pad)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
    return Batch(
        ids=ids,
        start=torch.tensor([example.start for example in examples]),
        end=torch.tensor([len(example.ids) for example in examples]),
        label=torch.tensor([float(example.label) for example in examples]),
        bce=torch.tensor([example.bce for example in examples]),
        ce=torch.tensor([example.ce for example in examples]),
        user=torch.tensor([example.user for example in examples]),
        items=torch.tensor([item for example in examples for item in example.items], dtype=torch.int64),
        row=torch.tensor([example.row for example in examples]),
    )


def by_length(examples: Sequence[Example], size: int) -> Iterator[np.ndarray]:
    """Indices of batches of `size` examples of like length, longest first so that memory peaks at once."""
    order = np.argsort([-len(example.ids) for example in examples], kind="stable")
    for first in range(0, len(order), size):
        yield order[first : first + size]

"""Examples and batches: prompts as padded or packed rows of tokens, with the inputs of the joint loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from thinkrec.config.sections import Training

NOWHERE = 2**31
"""A reach beyond every block: tokens with it attend to their own block alone."""


@dataclass(frozen=True)
class Example:
    """One prompt, with or without its answer.

    Args:
        ids: token ids of prompt and answer.
        start: index of the first answer token; the score is read at the token before it.
        label: 1 for liked, 0 for disliked.
        bce: weight of the binary cross-entropy of the score.
        ce: weight of the token cross-entropy of the answer.
        user: user id, for the gate and the user's vector.
        items: item ids of the item placeholders, in order.
        row: row number in the interactions.
        past: further targets, before `start`: the verdicts of the history.
    """

    ids: list[int]
    start: int
    label: int
    bce: float = 1.0
    ce: float = 0.0
    user: int = 0
    items: list[int] = field(default_factory=list)
    row: int = -1
    past: list[Target] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """A position in a row where a score is read.

    Args:
        at: index of the token whose logits give the score, the one before the answer.
        answer: token ids of the answer, empty if only the score is needed.
        label, bce, ce, row: as in `Example`.
    """

    at: int
    answer: list[int]
    label: int
    bce: float = 1.0
    ce: float = 0.0
    row: int = -1


@dataclass(frozen=True)
class Packed:
    """One row of a batch with its own attention mask.

    A token attends to earlier tokens of its own block, and to earlier shared tokens of other blocks whose
    number is at least the token's reach. This expresses several prompts side by side (one block each, nothing
    shared), many candidates after one history (the history is shared), and timelines (each target sees the
    user's latest items).

    Shapes: T tokens.

    Args:
        ids, position, block, reach, user: of each token, [T]; `position` is for the rotary embeddings.
        shared: [T] bool.
        items: item ids of the item placeholders, in order.
        targets: where scores are read.
    """

    ids: list[int]
    position: list[int]
    block: list[int]
    reach: list[int]
    shared: list[bool]
    user: list[int]
    items: list[int]
    targets: list[Target]


@dataclass(frozen=True)
class Places:
    """What the attention mask of packed rows is made from. Shapes: B rows, T tokens; padding has block -1."""

    position: Tensor  # [B, T] int64
    block: Tensor  # [B, T] int64
    reach: Tensor  # [B, T] int64
    shared: Tensor  # [B, T] bool

    def visible(self) -> Tensor:
        """Return the attention mask, [B, 1, T, T] bool: entry (q, k) says whether token q attends to k."""
        size = self.block.shape[1]
        before = torch.ones(size, size, dtype=torch.bool, device=self.block.device).tril()
        own = self.block[:, :, None] == self.block[:, None, :]
        reached = self.shared[:, None, :] & (self.block[:, None, :] >= self.reach[:, :, None])
        return (before & (own | reached))[:, None]


@dataclass(frozen=True)
class Batch:
    """Shapes: B rows, T tokens, padded on the right, N targets, S tokens of answers. See Example, Target."""

    ids: Tensor  # [B, T] int64
    user: Tensor  # [B] int64, or [B, T] if a row has several users
    items: Tensor  # [number of item placeholders in the batch] int64, row by row
    line: Tensor  # [N] int64, row of the batch that contains a target
    at: Tensor  # [N] int64
    label: Tensor  # [N] float32
    bce: Tensor  # [N] float32
    ce: Tensor  # [N] float32
    row: Tensor  # [N] int64
    answer: Tensor  # [S] int64, the concatenated tokens of all answers
    answered: Tensor  # [S] int64, the target of each answer token
    spoken: Tensor  # [S] int64, index of the token that predicts each answer token
    end: Tensor  # [B] int64, length of each row
    places: Places | None = None  # None: each row is one prompt with causal attention

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Batch:
        """Make a batch from its tensors by name; the inverse of `flat`."""
        names = tuple(Places.__annotations__)
        rest = {name: value for name, value in tensors.items() if name not in names}
        places = Places(*(tensors[name] for name in names)) if "block" in tensors else None
        return cls(**rest, places=places)

    def flat(self) -> dict[str, Tensor]:
        """Return all tensors by name, for a data loader."""
        rest = {name: value for name, value in vars(self).items() if name != "places"}
        return rest | (vars(self.places) if self.places else {})

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch.of({name: value.to(device) for name, value in self.flat().items()})


def collate(rows: Sequence[Example | Packed], pad: int) -> Batch:
    """Collate rows into a batch, padded on the right to the longest."""
    ids = torch.from_numpy(_padded([row.ids for row in rows], pad))
    targets = [target for row in rows for target in targets_of(row)]
    answers = [target.answer if target.ce else [] for target in targets]
    lengths = torch.tensor([len(answer) for answer in answers], dtype=torch.int64)
    answered = torch.arange(len(targets)).repeat_interleave(lengths)
    # Index of each answer token within its own answer.
    within = torch.arange(len(answered)) - (lengths.cumsum(0) - lengths)[answered]
    at = torch.tensor([target.at for target in targets])
    packed = isinstance(rows[0], Packed)
    places = None
    if packed:
        columns = {name: [getattr(row, name) for row in rows] for name in ("position", "block", "reach")}
        shared = [[int(value) for value in row.shared] for row in rows]  # type: ignore[union-attr]
        places = Places(
            torch.from_numpy(_padded(columns["position"], 0)),
            torch.from_numpy(_padded(columns["block"], -1)),
            torch.from_numpy(_padded(columns["reach"], NOWHERE)),
            torch.from_numpy(_padded(shared, 0)).bool(),
        )
    users = torch.tensor([row.user for row in rows]) if not packed else _users(rows)  # type: ignore[arg-type]
    return Batch(
        ids=ids,
        user=users,
        items=torch.tensor([item for row in rows for item in row.items], dtype=torch.int64),
        line=torch.tensor([number for number, row in enumerate(rows) for _ in targets_of(row)]),
        at=at,
        label=torch.tensor([float(target.label) for target in targets]),
        bce=torch.tensor([target.bce for target in targets]),
        ce=torch.tensor([target.ce for target in targets]),
        row=torch.tensor([target.row for target in targets]),
        answer=torch.tensor([token for answer in answers for token in answer], dtype=torch.int64),
        answered=answered,
        spoken=at[answered] + within,
        end=torch.tensor([len(row.ids) for row in rows]),
        places=places,
    )


def _users(rows: Sequence[Packed]) -> Tensor:
    """Return the users of packed rows' tokens, [B, T]; padding repeats a row's last user."""
    longest = max(len(row.user) for row in rows)
    return torch.tensor([[*row.user, *[row.user[-1]] * (longest - len(row.user))] for row in rows])


def _padded(rows: Sequence[Sequence[int]], pad: int) -> np.ndarray:
    found = np.full((len(rows), max(len(row) for row in rows)), pad, dtype=np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found


def targets_of(row: Example | Packed) -> list[Target]:
    """Return the targets of a row."""
    if isinstance(row, Packed):
        return row.targets
    answer = row.ids[row.start :]
    return [*row.past, Target(row.start - 1, answer, row.label, row.bce, row.ce, row.row)]


def count_targets(row: Example | Packed) -> int:
    """Return the number of targets of a row."""
    return len(targets_of(row))


def rows_per_batch(training: Training, samples: Sequence[Example | Packed]) -> int:
    """Return the rows per forward pass; `batch_size` counts targets, of which a row may have many."""
    return max(round(training.batch_size * len(samples) / max(sum(map(count_targets, samples)), 1)), 1)


def silent(row: Example | Packed) -> Example | Packed:
    """Return a row with zero loss weights, to fill up a batch."""

    def muted(targets: Sequence[Target]) -> list[Target]:
        return [replace(target, bce=0.0, ce=0.0) for target in targets]

    if isinstance(row, Example):
        return replace(row, bce=0.0, ce=0.0, past=muted(row.past))
    return replace(row, targets=muted(row.targets))


def by_length(rows: Sequence[Example | Packed], size: int) -> Iterator[np.ndarray]:
    """Yield indices of batches of rows of similar length, the longest first, so that memory peaks early."""
    order = np.argsort([-len(row.ids) for row in rows], kind="stable")
    for first in range(0, len(order), size):
        yield order[first : first + size]

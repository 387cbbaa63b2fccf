"""What the collaborative encoders share: the ids they know, their sides, their scores."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from thinkrec.cf.examples import Examples, Known, Shape, row_examples
from thinkrec.data.tables import HistoryMode, Interactions
from thinkrec.threads import hold_threads


def table(rows: int, width: int, seed: int, spread: float = 0.1) -> nn.Parameter:
    """Random starting vectors [rows, width], normal with standard deviation `spread`; row 0 is zero."""
    values = np.random.default_rng(seed).standard_normal((rows, width), dtype=np.float32) * spread
    values[0] = 0
    return nn.Parameter(torch.from_numpy(values.astype(np.float32)))


def user_side(vector: Tensor, bias: Tensor) -> Tensor:
    """[vector, bias, 1]: pairs with `item_side`. Shapes: [..., d], [...] -> [..., d + 2]."""
    return torch.cat([vector, bias[..., None], torch.ones_like(bias)[..., None]], dim=-1)


def item_side(vector: Tensor, bias: Tensor) -> Tensor:
    """[vector, 1, bias]: pairs with `user_side`. Shapes: [n, d], [n] -> [n, d + 2]."""
    return torch.cat([vector, torch.ones_like(bias)[:, None], bias[:, None]], dim=1)


class Encoder(nn.Module):
    """Base of the encoders: a score is <user side, item side> + mean, a logit.

    Shapes: U, I highest ids; d width of vectors; Ku, Ki users and items in train.

    Sides are [x, b, 1] of a user and [y, 1, b] of an item, so that their product holds both biases. Only
    what train holds has parameters: `user_index` and `item_index` lead from ids to rows of compact tables,
    whose row 0 stands for everything unknown. Its sides are [0, 0, 1] and [0, 1, 0]: an unknown user leaves
    the item's bias, an unknown item the user's.

    Source: matrix factorisation with biases (Koren et al. 2009); carrying the biases along is our choice.
    """

    name: ClassVar[str]
    most_steps: ClassVar[int | None] = None
    """Optimizer steps of an epoch, at most: where each costs all vectors, larger batches are nearly free."""
    mixed: ClassVar[bool] = False
    """Whether training on a GPU uses bfloat16 where that is safe."""
    undecayed: ClassVar[tuple[str, ...]] = ()
    """Parameters that weight decay leaves alone."""
    settled: ClassVar[tuple[str, ...]] = ()
    """Buffers that `settle` chooses on valid."""
    reads_history: ClassVar[Literal["none", "latest", "all"]] = "none"
    """Which part of a user's history scores change with; with any, `vectors` does not tell them."""
    user_index: Tensor
    item_index: Tensor
    mean: Tensor

    def __init__(self, shape: Shape, known: Known) -> None:
        """Keep what train holds as buffers, which are saved with the weights."""
        hold_threads()
        super().__init__()
        self.shape = shape
        self.register_buffer("user_index", known.user_index)
        self.register_buffer("item_index", known.item_index)
        self.register_buffer("mean", known.mean)

    def examples(self, data: Interactions) -> Examples:
        """What the encoder learns from: train's rows, one target each."""
        return row_examples(data)

    def begin(self, examples: Examples) -> None:
        """What starting weights owe to the data; called once, before training."""

    def settle(self, data: Interactions) -> None:
        """What is chosen on valid once training is over; called with the best epoch's weights."""

    def forward(self, batch: Examples) -> Tensor:
        """Logits of all targets, [n, T]."""
        raise NotImplementedError

    def losses(self, batch: Examples) -> Tensor:
        """Logistic loss of each counted target, [m], m = batch.counted.sum()."""
        logits, label = self(batch)[batch.counted], batch.label[batch.counted]
        return binary_cross_entropy_with_logits(logits.float(), label, reduction="none")

    def user_sides(self, data: Interactions) -> Tensor:
        """Sides of known users at the end of train, [Ku + 1, d + 2]; row 0 is the unknown user's."""
        raise NotImplementedError

    def item_sides(self) -> Tensor:
        """Sides of known items, [Ki + 1, d + 2]; row 0 is the unknown item's."""
        raise NotImplementedError

    def row_sides(self, data: Interactions, rows: np.ndarray, mode: HistoryMode) -> Tensor:
        """User sides at the moments of these rows, [n, d + 2]; a sequence encoder's change with time."""
        return self.user_sides(data)[self.user_index[self.tensor(data.user_id[rows])]]

    @torch.no_grad()
    def score(
        self, data: Interactions, rows: np.ndarray, mode: HistoryMode, items: np.ndarray | None = None
    ) -> np.ndarray:
        """Logits of rows, or of `items` at their moments, [n] float32.

        A history that several rows share is read once.
        """
        self.eval()
        items = data.item_id[rows] if items is None else items
        distinct, place = np.unique(rows, return_inverse=True)
        user = self.row_sides(data, distinct, mode)
        if len(distinct) < len(rows) or (distinct != rows).any():
            user = user[self.tensor(place)]
        item = self.item_sides()[self.item_index[self.tensor(items)]]
        return ((user * item).sum(1) + self.mean).cpu().numpy()

    @torch.no_grad()
    def vectors(self, data: Interactions) -> dict[str, Tensor]:
        """Sides by id, `user` [U + 1, d + 2] and `item` [I + 1, d + 2]; what train does not hold is zero."""
        self.eval()
        user, item = self.user_sides(data).clone(), self.item_sides().clone()
        user[0], item[0] = 0, 0
        return {"user": user[self.user_index].cpu(), "item": item[self.item_index].cpu()}

    def tensor(self, values: np.ndarray) -> Tensor:
        """An array on the encoder's device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.mean.device)

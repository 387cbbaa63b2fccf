"""Base class of the collaborative encoders."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from thinkrec.cf.examples import Examples, Known, Shape, row_examples
from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol
from thinkrec.threads import hold_threads


def table(rows: int, width: int, seed: int, spread: float = 0.1) -> nn.Parameter:
    """Draw initial vectors [rows, width] from a normal of standard deviation `spread`; row 0 is zero."""
    values = np.random.default_rng(seed).standard_normal((rows, width), dtype=np.float32) * spread
    values[0] = 0
    return nn.Parameter(torch.from_numpy(values.astype(np.float32)))


def augment_user(vector: Tensor, bias: Tensor) -> Tensor:
    """Append bias and 1 to users' vectors, [..., d], [...] -> [..., d + 2]; see `augment_item`."""
    return torch.cat([vector, bias[..., None], torch.ones_like(bias)[..., None]], dim=-1)


def augment_item(vector: Tensor, bias: Tensor) -> Tensor:
    """Append 1 and bias to items' vectors, [n, d], [n] -> [n, d + 2], so that products add both biases."""
    return torch.cat([vector, torch.ones_like(bias)[:, None], bias[:, None]], dim=1)


class Encoder(nn.Module):
    """Base class of the encoders: scores are logits <user vector, item vector> + mean.

    Shapes: U, I highest ids; d width; Ku, Ki number of users and items in train.

    Vectors are augmented with biases, [x, b, 1] for a user and [y, 1, b] for an item. Only users and items
    in train have parameters: `user_index` and `item_index` map ids to rows of compact tables, whose row 0
    stands for unknown ids. Its vectors are [0, 0, 1] and [0, 1, 0]: an unknown user gets the item's bias
    as a score, an unknown item the user's.

    Source: matrix factorisation with biases (Koren et al. 2009); augmented vectors are our choice.
    """

    name: ClassVar[str]
    max_steps: ClassVar[int | None] = None
    """Maximum number of optimizer steps per epoch, for encoders whose every step updates all vectors."""
    mixed_precision: ClassVar[bool] = False
    """Whether training on a GPU uses bfloat16 autocast."""
    no_weight_decay: ClassVar[tuple[str, ...]] = ()
    """Parameters without weight decay."""
    tuned_buffers: ClassVar[tuple[str, ...]] = ()
    """Buffers that `tune` chooses on valid."""
    reads_history: ClassVar[Literal["none", "latest", "all"]] = "none"
    """Part of a user's history that scores depend on; unless "none", `vectors` do not determine scores."""
    user_index: Tensor
    item_index: Tensor
    mean: Tensor

    def __init__(self, shape: Shape, known: Known) -> None:
        """Register the id maps as buffers, saved with the weights."""
        hold_threads()
        super().__init__()
        self.shape = shape
        self.register_buffer("user_index", known.user_index)
        self.register_buffer("item_index", known.item_index)
        self.register_buffer("mean", known.mean)

    def examples(self, data: Interactions) -> Examples:
        """Build training examples: train's rows, one target each."""
        return row_examples(data)

    def initialize(self, examples: Examples) -> None:
        """Initialize weights from the data; called once, before training."""

    def tune(self, data: Interactions, protocol: Protocol) -> None:
        """Choose `tuned_buffers` on valid; called after training, with the best epoch's weights."""

    def forward(self, batch: Examples) -> Tensor:
        """Compute the logits of all targets, [n, T]."""
        raise NotImplementedError

    def losses(self, batch: Examples) -> Tensor:
        """Compute the logistic loss of each target in the loss, [m], m = batch.in_loss.sum()."""
        logits, label = self(batch)[batch.in_loss], batch.label[batch.in_loss]
        return binary_cross_entropy_with_logits(logits.float(), label, reduction="none")

    def user_vectors(self, data: Interactions) -> Tensor:
        """Compute the augmented vectors of train's users at the end of train, [Ku + 1, d + 2]."""
        raise NotImplementedError

    def item_vectors(self) -> Tensor:
        """Compute the augmented vectors of train's items, [Ki + 1, d + 2]."""
        raise NotImplementedError

    def row_vectors(self, data: Interactions, rows: np.ndarray, protocol: Protocol) -> Tensor:
        """Compute the users' augmented vectors just before these rows, [n, d + 2]."""
        return self.user_vectors(data)[self.user_index[self.tensor(data.user_id[rows])]]

    @torch.no_grad()
    def score(
        self, data: Interactions, rows: np.ndarray, protocol: Protocol, items: np.ndarray | None = None
    ) -> np.ndarray:
        """Score rows, or `items` in place of the rows' items, [n] float32 logits.

        Each history is encoded once, however many rows share it.
        """
        self.eval()
        items = data.item_id[rows] if items is None else items
        asked = data.asked(rows, protocol)
        distinct, index = np.unique(asked, return_inverse=True)
        user = self.row_vectors(data, distinct, protocol)
        if len(distinct) < len(asked) or (distinct != asked).any():
            user = user[self.tensor(index)]
        item = self.item_vectors()[self.item_index[self.tensor(items)]]
        return ((user * item).sum(1) + self.mean).cpu().numpy()

    @torch.no_grad()
    def vectors(self, data: Interactions) -> dict[str, Tensor]:
        """Return vectors by id, `user` [U + 1, d + 2] and `item` [I + 1, d + 2]; unknown ids are zero."""
        self.eval()
        user, item = self.user_vectors(data).clone(), self.item_vectors().clone()
        user[0], item[0] = 0, 0
        # Gather from compact rows to ids; ids that train lacks get row 0.
        return {"user": user[self.user_index].cpu(), "item": item[self.item_index].cpu()}

    def tensor(self, values: np.ndarray) -> Tensor:
        """Move an array to the encoder's device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.mean.device)

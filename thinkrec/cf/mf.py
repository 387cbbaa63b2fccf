"""Matrix factorisation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import embedding

from thinkrec.cf.encoder import Encoder, augment_item, augment_user, table
from thinkrec.cf.examples import Examples, Known, Shape
from thinkrec.data.tables import Interactions


class MatrixFactorisation(Encoder):
    """A vector and a bias for each user and item: logit = <p_u, q_i> + b_u + b_i + mean.

    Args:
        shape: the encoder's size.
        known: users and items of train.
        seed: random seed of the initial vectors.

    Source: Koren, Bell, Volinsky 2009, with the paper's logistic loss.
    """

    name = "mf"
    max_steps = 32
    biased: ClassVar[bool] = True

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the initial vectors."""
        super().__init__(shape, known)
        self.user = table(known.users, shape.width, 2 * seed)
        self.item = table(known.items, shape.width, 2 * seed + 1)
        self.user_bias = table(known.users, 1, 0, spread=0).requires_grad_(self.biased)
        self.item_bias = table(known.items, 1, 0, spread=0).requires_grad_(self.biased)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return the vectors of users [Ku + 1, d] and items [Ki + 1, d]."""
        return self.user, self.item

    def forward(self, batch: Examples) -> Tensor:
        """Compute the logits of all targets, [n, T]."""
        users, items = self.tables()
        # [n, 1] and [n, T], so that each user broadcasts over its targets.
        user, item = self.user_index[batch.user][:, None], self.item_index[batch.item]
        product = (embedding(user, users) * embedding(item, items)).sum(-1)
        biases = embedding(user, self.user_bias) + embedding(item, self.item_bias)
        return product + biases[..., 0] + self.mean

    def user_vectors(self, data: Interactions) -> Tensor:
        """Return [p_u, b_u, 1], [Ku + 1, d + 2]."""
        return augment_user(self.tables()[0], self.user_bias[:, 0])

    def item_vectors(self) -> Tensor:
        """Return [q_i, 1, b_i], [Ki + 1, d + 2]."""
        return augment_item(self.tables()[1], self.item_bias[:, 0])


class PlainMatrixFactorisation(MatrixFactorisation):
    """Matrix factorisation without biases: logit = <p_u, q_i> + mean.

    Source: the paper's release has no biases; the common mean is our choice.
    """

    name = "mf_no_biases"
    biased = False

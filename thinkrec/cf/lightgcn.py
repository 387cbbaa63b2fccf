"""LightGCN: vectors that spread along the graph of likes."""

from __future__ import annotations

import torch
from torch import Tensor

from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.mf import MatrixFactorisation


class LightGCN(MatrixFactorisation):
    """Matrix factorisation whose vectors are averaged with what flows in from their neighbours.

    The graph joins users and items by train's likes; each edge weighs 1 / sqrt(degree * degree).

    Args:
        shape: the encoder's size.
        known: what train holds; its likes are the edges.
        seed: of the starting vectors.

    Source: He et al. 2020; loss on labels, likes and dislikes alike, as for the other encoders (the
    paper); biases are our choice, without them a new user's items could not be told apart.
    """

    name = "lightgcn"
    likes: Tensor
    graph: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the starting vectors and lay out the graph."""
        super().__init__(shape, known, seed)
        self.register_buffer("likes", known.likes)
        self.register_buffer("graph", normalised(known.likes, known.users, known.items), persistent=False)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Mean over layers of the vectors of users [Ku + 1, d] and items [Ki + 1, d]."""
        layer = torch.cat([self.user, self.item])
        total = layer
        for _ in range(self.shape.graph_layers):
            layer = torch.sparse.mm(self.graph, layer)
            total = total + layer
        total = total / (self.shape.graph_layers + 1)
        return total[: len(self.user)], total[len(self.user) :]


def normalised(likes: Tensor, users: int, items: int) -> Tensor:
    """Symmetric adjacency, sparse [users + items, users + items], of likes [2, E]."""
    there = torch.stack([likes[0], likes[1] + users])
    both = torch.cat([there, there.flip(0)], dim=1)
    degree = torch.bincount(both[0], minlength=users + items).float()
    weight = (degree[both[0]] * degree[both[1]]).rsqrt()
    return torch.sparse_coo_tensor(both, weight, (users + items,) * 2, check_invariants=False).coalesce()

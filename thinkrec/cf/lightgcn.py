"""LightGCN: vectors that spread along the graph of likes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

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

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the starting vectors and lay out the graph."""
        super().__init__(shape, known, seed)
        self.register_buffer("likes", known.likes)
        self.graph = Graph(known.likes, known.users, known.items)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Mean over layers of the vectors of users [Ku + 1, d] and items [Ki + 1, d]."""
        mean = _Mean.apply(torch.cat([self.user, self.item]), self.graph, self.shape.graph_layers)
        return mean[: len(self.user)], mean[len(self.user) :]


class Graph(nn.Module):
    """Normalised adjacency A of users and items, each node's neighbours side by side.

    Args:
        likes: [2, E] int64, rows of the users and items of distinct likes.
        users: count of users, whose nodes come first.
        items: count of items; N = users + items.
    """

    first: Tensor
    neighbour: Tensor
    weight: Tensor

    def __init__(self, likes: Tensor, users: int, items: int) -> None:
        """Lay out the edges, 2E of them, as each leads both ways."""
        super().__init__()
        there = torch.stack([likes[0], likes[1] + users])
        both = torch.cat([there, there.flip(0)], dim=1)
        node, neighbour = both[:, both[0].argsort(stable=True)]
        degree = torch.bincount(node, minlength=users + items)
        first = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        weight = (degree[node] * degree[neighbour]).float().rsqrt()
        for name, value in (("first", first), ("neighbour", neighbour), ("weight", weight)):
            self.register_buffer(name, value, persistent=False)

    def pull(self, vectors: Tensor) -> Tensor:
        """A @ vectors, each node's weighted sum of its neighbours', [N, d]."""
        # Several times as fast on a CPU as a product of sparse tensors (docs/experiments.md).
        return embedding_bag(
            self.neighbour,
            vectors,
            self.first,
            mode="sum",
            per_sample_weights=self.weight,
            include_last_offset=True,
        )

    def mean(self, vectors: Tensor, layers: int) -> Tensor:
        """Mean of vectors, A @ vectors, ..., A^layers @ vectors, [N, d]."""
        total = vectors
        for _ in range(layers):
            total = self.pull(total).add_(vectors)
        return total / (layers + 1)


class _Mean(torch.autograd.Function):
    """`Graph.mean`; as A is symmetric, it is its own derivative, for which nothing need be kept."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, graph: Graph, layers: int) -> Tensor:
        ctx.graph, ctx.layers = graph, layers
        return graph.mean(vectors, layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.graph.mean(gradients[0].contiguous(), ctx.layers), None, None

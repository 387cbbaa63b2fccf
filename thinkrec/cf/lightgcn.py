"""LightGCN: vectors propagated along the graph of likes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.mf import MatrixFactorisation


class LightGCN(MatrixFactorisation):
    """Matrix factorisation with vectors averaged over layers of graph propagation.

    The graph connects users and items by train's likes; edges weigh 1 / sqrt(degree * degree).

    Args:
        shape: the encoder's size.
        known: users and items of train; its likes are the edges.
        seed: random seed of the initial vectors.

    Source: He et al. 2020; the loss on likes and dislikes is the paper's; biases are our choice, without
    them all items of a new user would tie.
    """

    name = "lightgcn"
    likes: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the initial vectors and build the graph."""
        super().__init__(shape, known, seed)
        self.register_buffer("likes", known.likes)
        self.graph = Graph(known.likes, known.users, known.items)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Average the vectors of users [Ku + 1, d] and items [Ki + 1, d] over layers."""
        mean = _Mean.apply(torch.cat([self.user, self.item]), self.graph, self.shape.graph_layers)
        return mean[: len(self.user)], mean[len(self.user) :]


class Graph(nn.Module):
    """Normalised adjacency A of users and items in compressed rows (CSR).

    Args:
        likes: [2, E] int64, compact rows of users and items of distinct likes.
        users: number of users, whose nodes come first.
        items: number of items; N = users + items.
    """

    first: Tensor
    neighbour: Tensor
    weight: Tensor

    def __init__(self, likes: Tensor, users: int, items: int) -> None:
        """Sort the 2E directed edges by node."""
        super().__init__()
        edges = torch.stack([likes[0], likes[1] + users])
        both = torch.cat([edges, edges.flip(0)], dim=1)
        node, neighbour = both[:, both[0].argsort(stable=True)]
        degree = torch.bincount(node, minlength=users + items)
        first = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        weight = (degree[node] * degree[neighbour]).float().rsqrt()
        for name, value in (("first", first), ("neighbour", neighbour), ("weight", weight)):
            self.register_buffer(name, value, persistent=False)

    def propagate(self, vectors: Tensor) -> Tensor:
        """Compute A @ vectors, [N, d]."""
        # On a CPU several times as fast as a sparse matrix product (docs/experiments.md).
        return embedding_bag(
            self.neighbour,
            vectors,
            self.first,
            mode="sum",
            per_sample_weights=self.weight,
            include_last_offset=True,
        )

    def mean(self, vectors: Tensor, layers: int) -> Tensor:
        """Average vectors, A @ vectors, ..., A^layers @ vectors, [N, d]."""
        total = vectors
        for _ in range(layers):
            total = self.propagate(total).add_(vectors)
        return total / (layers + 1)


class _Mean(torch.autograd.Function):
    """`Graph.mean`; as A is symmetric, backward equals forward and no activations are saved."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, graph: Graph, layers: int) -> Tensor:
        ctx.graph, ctx.layers = graph, layers
        return graph.mean(vectors, layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.graph.mean(gradients[0].contiguous(), ctx.layers), None, None

"""Shapes of batches, sizes of models, and their floating-point operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Example, Packed, count_targets, targets_of
from thinkrec.llm.student import Student

_LAYER = re.compile(r"\.layers\.(\d+)\.")
_FIRST, _LAST = ("q_proj", "k_proj", "v_proj"), "down_proj"


@dataclass(frozen=True)
class Shapes:
    """Shapes of n batches.

    Args:
        rows: number of rows, [n].
        longest: tokens of the longest row, to which all are padded, [n].
        answers: answer tokens in the cross-entropy, [n].
        vectors: placeholders that the projector fills, [n].
    """

    rows: np.ndarray
    longest: np.ndarray
    answers: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, batches: Iterable[Sequence[Example | Packed]]) -> Shapes:
        """Compute the shapes of batches."""
        counts = [
            (
                len(batch),
                max(len(row.ids) for row in batch),
                sum(len(target.answer) for row in batch for target in targets_of(row) if target.ce > 0),
                sum(len(row.items) + count_targets(row) for row in batch if row.items),
            )
            for batch in batches
        ]
        return cls(*np.array(counts, dtype=np.int64).reshape(-1, 4).T)

    @property
    def padded(self) -> np.ndarray:
        """Tokens per batch, including padding, [n]."""
        return self.rows * self.longest


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model with L layers, for counting operations.

    Args:
        weights: matrix weights of the frozen backbone per layer, [L].
        adapters: weights of all LoRAs per layer, [L].
        first: weights of both that a layer's input meets (queries, keys, values; A of LoRAs), [L].
        last: backbone weights of the layer's last product, [L].
        trained: whether a layer's LoRAs are trained, [L] bool.
        attention: number of heads times their width.
        head: weights of the output head.
        projector: weights of the projector.
        whole_head: whether the head also runs at one token per row, as when PEFT calls the model.
        to_embeddings: whether the gradient is propagated down to the embeddings.
    """

    weights: np.ndarray
    adapters: np.ndarray
    first: np.ndarray
    last: np.ndarray
    trained: np.ndarray
    attention: int
    head: int
    projector: int = 0
    whole_head: bool = False
    to_embeddings: bool = False

    @classmethod
    def of(cls, model: nn.Module, backbone: Backbone, checkpointing: bool = False) -> Sizes:
        """Compute the sizes of a PEFT model or a Student over this backbone."""
        config: Any = backbone.model.config
        weights, adapters, first, last = (np.zeros(config.num_hidden_layers) for _ in range(4))
        trained = np.zeros(config.num_hidden_layers, dtype=bool)
        for name, weight in model.named_parameters():
            if (match := _LAYER.search(name)) is None or weight.ndim != 2:
                continue
            layer = int(match[1])
            (adapters if "lora_" in name else weights)[layer] += weight.numel()
            trained[layer] |= weight.requires_grad
            first[layer] += weight.numel() * (any(each in name for each in _FIRST) and "lora_B" not in name)
            last[layer] += weight.numel() * (_LAST in name and "lora_" not in name)
        student = isinstance(model, Student)
        if isinstance(model, Student) and model.bank is not None:
            for stack in model.bank.stacks:
                layer = int(_LAYER.search(next(iter(stack.b)))[1])  # type: ignore[index]
                adapters[layer] += stack.a.numel() + sum(b.numel() for b in stack.b.values())
        projector = model.projector if isinstance(model, Student) else None
        return cls(
            weights, adapters, first, last, trained,
            attention=config.num_attention_heads * head_width(config),
            head=backbone.head.numel(),
            projector=sum(weight.numel() for weight in projector.parameters()) if projector else 0,
            whole_head=not student,
            to_embeddings=student or checkpointing,
        )  # fmt: skip


def head_width(config: Any) -> int:
    """Return the width of an attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def forward_flops(shapes: Shapes, sizes: Sizes) -> float:
    """Count operations of forward passes: 2 per weight and token, 4 x heads' width x length^2 for attention.

    As usual, attention is counted in full although causal, the head at answer tokens only, and norms, softmax
    and activations not at all.

    Source: Kaplan et al. 2020, section 2.1 (2N per token); Chowdhery et al. 2022 (PaLM), appendix B.
    """
    dense = 2 * (sizes.weights.sum() + sizes.adapters.sum()) * shapes.padded.sum()
    ends = 2 * sizes.head * (shapes.answers.sum() + sizes.whole_head * shapes.rows.sum())
    return float(dense + _attention(shapes, sizes, 0) + ends + 2 * sizes.projector * shapes.vectors.sum())


def backward_flops(shapes: Shapes, sizes: Sizes, checkpointing: bool = False) -> float:
    """Count operations of backward passes under a frozen backbone.

    Gradients of activations cost as much as the forward pass; those of weights, as much again, are computed
    for trained LoRAs and the projector only. So forward and backward are about 2 x forward, not 3 x. They end
    at the lowest trained layer, whose input needs no gradient. Gradient checkpointing recomputes the layers
    without their last product.

    Source: as `forward_flops`; Hu et al. 2021 (LoRA) for weights without gradient.
    """
    lowest = 0 if sizes.to_embeddings or not sizes.trained.any() else int(sizes.trained.argmax())
    weights, adapters = sizes.weights[lowest:], (sizes.adapters * (1 + sizes.trained))[lowest:]
    per_token = 2 * (weights.sum() + adapters.sum() - (0 if sizes.to_embeddings else sizes.first[lowest]))
    attention = 2 * _attention(shapes, sizes, lowest)
    ends = 2 * sizes.head * shapes.answers.sum() + 4 * sizes.projector * shapes.vectors.sum()
    if checkpointing:
        per_token += 2 * (weights + sizes.adapters[lowest:] - sizes.last[lowest:]).sum()
        attention *= 1.5
    return float(per_token * shapes.padded.sum() + attention + ends)


def _attention(shapes: Shapes, sizes: Sizes, first: int) -> float:
    layers = len(sizes.weights) - first
    return float(4 * layers * sizes.attention * (shapes.rows * shapes.longest.astype(float) ** 2).sum())


def decode_flops(shapes: Shapes, sizes: Sizes, steps: np.ndarray) -> float:
    """Count operations of generating `steps` [n] tokens per row of each batch, without the prompt's pass."""
    tokens = shapes.rows * steps
    context = shapes.longest + steps / 2
    dense = 2 * (sizes.weights.sum() + sizes.adapters.sum() + sizes.head) * tokens.sum()
    return float(dense + 4 * len(sizes.weights) * sizes.attention * (tokens * context).sum())

"""What is to be computed: rows, tokens, batches as they will be read, and their floating-point operations."""

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
    """The batches of a run. Shapes: n batches.

    Args:
        rows: rows of each, [n].
        longest: tokens of its longest row, to which all are padded, [n].
        answers: answer tokens whose cross-entropy is computed, [n].
        vectors: placeholders that the projector fills, [n].
    """

    rows: np.ndarray
    longest: np.ndarray
    answers: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, batches: Iterable[Sequence[Example | Packed]]) -> Shapes:
        """The shapes of these batches."""
        counted = [
            (
                len(batch),
                max(len(row.ids) for row in batch),
                sum(len(target.answer) for row in batch for target in targets_of(row) if target.ce > 0),
                sum(len(row.items) + count_targets(row) for row in batch if row.items),
            )
            for batch in batches
        ]
        return cls(*np.array(counted, dtype=np.int64).reshape(-1, 4).T)

    @property
    def padded(self) -> np.ndarray:
        """Tokens that the model computes in each, padding included, [n]."""
        return self.rows * self.longest


@dataclass(frozen=True)
class Sizes:
    """What the count of operations needs to know of a model. Shapes: L layers.

    Args:
        weights: matrix weights of the frozen backbone in each layer, [L].
        adapters: weights of all its LoRAs in each layer, [L]; a batch computes those that its users mix.
        first: of both, those that a layer's input meets first (queries, keys, values; of LoRAs A), [L].
        last: of the backbone's, those that the layer ends with, [L].
        trained: which layers' LoRAs train, [L] bool.
        attention: heads times width of a head.
        head: weights of the output head.
        projector: weights of the projector.
        whole_head: the head runs at one token of each row besides, as when PEFT calls the model.
        below: the gradient runs down to the embeddings.
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
    below: bool = False

    @classmethod
    def of(cls, model: nn.Module, backbone: Backbone, checkpointing: bool = False) -> Sizes:
        """Read the sizes off a PEFT model or a Student over this backbone."""
        config: Any = backbone.model.config
        weights, adapters, first, last = (np.zeros(config.num_hidden_layers) for _ in range(4))
        trained = np.zeros(config.num_hidden_layers, dtype=bool)
        for name, weight in model.named_parameters():
            if (found := _LAYER.search(name)) is None or weight.ndim != 2:
                continue
            layer = int(found[1])
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
            below=student or checkpointing,
        )  # fmt: skip


def head_width(config: Any) -> int:
    """Width of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def forward_flops(shapes: Shapes, sizes: Sizes) -> float:
    """Operations of all forward passes: 2 a weight and token, and 4 x heads' width x length^2 for attention.

    Attention is counted in full although it is causal, the head where it runs (answer tokens), norms,
    softmax and activations not at all, as usual.

    Source: Kaplan et al. 2020, section 2.1 (2N a token); Chowdhery et al. 2022 (PaLM), appendix B.
    """
    dense = 2 * (sizes.weights.sum() + sizes.adapters.sum()) * shapes.padded.sum()
    ends = 2 * sizes.head * (shapes.answers.sum() + sizes.whole_head * shapes.rows.sum())
    return float(dense + _attention(shapes, sizes, 0) + ends + 2 * sizes.projector * shapes.vectors.sum())


def backward_flops(shapes: Shapes, sizes: Sizes, checkpointing: bool = False) -> float:
    """Operations of all backward passes under a frozen backbone.

    The gradient of the activations costs what the forward pass costs; that of the weights, as much again, is
    computed for trained LoRAs and the projector only. So forward and backward are about 2 x forward, not 3 x.
    It ends at the lowest layer that trains, whose input needs none. Gradient checkpointing computes the
    layers it passes once more, their last product left out.

    Source: as `forward_flops`; Hu et al. 2021 (LoRA) for which weights have no gradient.
    """
    lowest = 0 if sizes.below or not sizes.trained.any() else int(sizes.trained.argmax())
    passed, adapters = sizes.weights[lowest:], (sizes.adapters * (1 + sizes.trained))[lowest:]
    a_token = 2 * (passed.sum() + adapters.sum() - (0 if sizes.below else sizes.first[lowest]))
    attention = 2 * _attention(shapes, sizes, lowest)
    ends = 2 * sizes.head * shapes.answers.sum() + 4 * sizes.projector * shapes.vectors.sum()
    if checkpointing:
        a_token += 2 * (passed + sizes.adapters[lowest:] - sizes.last[lowest:]).sum()
        attention *= 1.5
    return float(a_token * shapes.padded.sum() + attention + ends)


def _attention(shapes: Shapes, sizes: Sizes, first: int) -> float:
    layers = len(sizes.weights) - first
    return float(4 * layers * sizes.attention * (shapes.rows * shapes.longest.astype(float) ** 2).sum())


def decode_flops(shapes: Shapes, sizes: Sizes, steps: np.ndarray) -> float:
    """Operations of `steps` [n] tokens generated for each row of each batch, the prompt's pass left out."""
    tokens = shapes.rows * steps
    context = shapes.longest + steps / 2
    dense = 2 * (sizes.weights.sum() + sizes.adapters.sum() + sizes.head) * tokens.sum()
    return float(dense + 4 * len(sizes.weights) * sizes.attention * (tokens * context).sum())

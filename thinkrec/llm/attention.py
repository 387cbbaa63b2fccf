"""Attention in bfloat16 on a processor, where torch's kernel is slow: forward, backward and in generation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "thinkrec_products"
MAX_LENGTH = 1024
"""Tokens of a row in training above which products take more memory than they save time (our choice)."""

BLOCK = 128
"""Queries of one product (our choice)."""


def by_products(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return attention by two matrix products; for dropout, and for long rows in training, by torch's kernel.

    Several query heads that share a key head are rows of one product, so that keys are not repeated. A causal
    block of queries is multiplied with the keys up to its end alone.

    Args:
        module: the attention layer.
        query: [B, heads, T, d].
        key, value: [B, key heads, S, d].
        attention_mask: [B or 1, 1, T, S], added to the logits or boolean, and causal: the T queries are the
            last of the S tokens, and see none behind them. None is the causal mask itself.
        dropout: share of attention weights that are dropped; any leaves it to torch's kernel.
        scaling: of the logits; None is d ** -0.5.
        options: for torch's kernel.

    Returns:
        The output, [B, T, heads, d], and None for the weights.

    Source: our choice; figures in docs/experiments.md, 2026-11-29.
    """
    rows, heads, length, width = query.shape
    shared, seen = key.shape[1:3]
    lowest = torch.finfo(query.dtype).min
    if dropout or (torch.is_grad_enabled() and max(length, seen) > MAX_LENGTH):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scaled = query * (width**-0.5 if scaling is None else scaling)
    keys, values = (each.reshape(rows * shared, seen, width) for each in (key, value))
    parts = []
    for first in range(0, length, BLOCK):
        asked = scaled[:, :, first : first + BLOCK]
        last = first + asked.shape[2]
        end = seen - length + last
        stacked = asked.reshape(rows * shared, -1, width)
        logits = torch.bmm(stacked, keys[:, :end].mT).view(rows, shared, heads // shared, last - first, end)
        if attention_mask is None:
            after = torch.ones(last - first, end, dtype=torch.bool, device=logits.device)
            logits = logits.masked_fill_(after.triu(end - last + first + 1), lowest)
        elif attention_mask.dtype == torch.bool:
            logits = logits.masked_fill_(~attention_mask[:, :, None, first:last, :end], lowest)
        else:
            logits = logits.add_(attention_mask[:, :, None, first:last, :end])
        weights = torch.softmax(logits, -1).view(rows * shared, -1, end)
        parts.append(torch.bmm(weights, values[:, :end]).view(rows, heads, last - first, width))
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def choose_attention(model: PreTrainedModel) -> None:
    """Have a model in bfloat16 on a processor attend by products; others stay as they are."""
    if model.device.type == "cpu" and model.dtype == torch.bfloat16:
        AttentionInterface.register(NAME, by_products)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)

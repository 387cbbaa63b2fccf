"""Attention on a processor where torch's kernel is slow: all in bfloat16, and packed rows when scored."""

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

FEW = 0.8
"""Share of the keys up to a block of queries; where fewer are seen, the others are left out (our choice)."""

_KEYS = "_thinkrec_keys"
"""Attribute of a mask that keeps the keys of its blocks, since all layers get the same mask."""


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
    """Return attention by two matrix products; by torch's kernel for dropout and where that is faster.

    Several query heads that share a key head are rows of one product, so that keys are not repeated. A causal
    block of queries is multiplied with the keys up to its end alone. Without gradients, keys that no query of
    the block sees are left out: a question about a candidate sees the history, but no other question.

    The kernel is faster for long rows in training, and in float32 unless keys are left out.

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
    training = torch.is_grad_enabled()
    keys_of = None if training or dropout else _keys_seen(attention_mask, length)
    slow = training and max(length, seen) > MAX_LENGTH
    if dropout or slow or (query.dtype == torch.float32 and keys_of is None):
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
        few = None if keys_of is None else keys_of[first // BLOCK]
        near, far = (each[:, :end] if few is None else each.index_select(1, few) for each in (keys, values))
        stacked = asked.reshape(rows * shared, -1, width)
        logits = torch.bmm(stacked, near.mT).view(rows, shared, heads // shared, last - first, -1)
        mask = None if attention_mask is None else attention_mask[:, :, None, first:last, :end]
        _hide(logits, mask if few is None or mask is None else mask.index_select(-1, few))
        weights = torch.softmax(logits, -1).view(rows * shared, -1, near.shape[1])
        parts.append(torch.bmm(weights, far).view(rows, heads, last - first, width))
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def _hide(logits: Tensor, mask: Tensor | None) -> None:
    """Lower the logits of keys that a query does not see, in place.

    Args:
        logits: [B, key heads, heads per key head, queries, keys].
        mask: of these queries and keys, added or boolean, [B or 1, 1, 1, queries, keys]; None: the queries
            are the last of the keys, and see none behind them.
    """
    lowest = torch.finfo(logits.dtype).min
    if mask is None:
        queries, keys = logits.shape[-2:]
        after = torch.ones(queries, keys, dtype=torch.bool, device=logits.device).triu(keys - queries + 1)
        logits.masked_fill_(after, lowest)
    elif mask.dtype == torch.bool:
        logits.masked_fill_(~mask, lowest)
    else:
        logits.add_(mask)


def _keys_seen(mask: Tensor | None, length: int) -> list[Tensor | None] | None:
    """Return for each block of queries the keys that any of them sees, or None where that is most keys.

    Returns:
        For each block None or key numbers, [n] int64; None for all if no block leaves out any.
    """
    if mask is None or length <= BLOCK:
        return None
    if not hasattr(mask, _KEYS):
        sees = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min
        found: list[Tensor | None] = []
        for first in range(0, length, BLOCK):
            end = sees.shape[-1] - length + min(first + BLOCK, length)
            keys = sees[:, 0, first : first + BLOCK, :end].any(dim=(0, 1)).nonzero()[:, 0]
            found.append(keys if 0 < len(keys) < FEW * end else None)
        setattr(mask, _KEYS, found if any(keys is not None for keys in found) else None)
    kept: list[Tensor | None] | None = getattr(mask, _KEYS)
    return kept


def choose_attention(model: PreTrainedModel) -> None:
    """Have a model on a processor attend by products where they are faster; others stay as they are."""
    if model.device.type == "cpu" and model.dtype in (torch.bfloat16, torch.float32):
        AttentionInterface.register(NAME, by_products)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)

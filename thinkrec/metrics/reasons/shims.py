"""What bleurt-pytorch 0.0.1 misses in transformers 5: two names at import, two methods of its models."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from thinkrec.errors import ConfigError

_FAST = "transformers.models.bert.tokenization_bert_fast"
_PRUNE = "find_pruneable_heads_and_indices"


def _extended_attention_mask(model: Any, attention_mask: Tensor, *_: Any, **__: Any) -> Tensor:
    """Turn a mask of 0 and 1, [B, T], into what is added to attention scores, [B, 1, 1, T].

    Source: transformers 4.57.6, `ModuleUtilsMixin.get_extended_attention_mask` of an encoder.
    """
    masked = 1.0 - attention_mask[:, None, None, :].to(model.dtype)
    return masked * torch.finfo(model.dtype).min


def _head_mask(_: Any, head_mask: None, layers: int) -> list[None]:
    """Mask no head; the metric never passes a mask."""
    return [None] * layers


def bleurt_classes() -> tuple[Any, Any]:
    """Import the package's configuration and model under the transformers at hand.

    The names that are missing are lent for the import alone; the methods are added to the package's own base
    class. What transformers still has is left as it is. The package's tokenizer is not used: under
    transformers 5 it turns every word into the unknown token.

    Raises:
        ConfigError: bleurt-pytorch is not installed.
    """
    from transformers import pytorch_utils

    lent: list[str] = []
    if not hasattr(pytorch_utils, _PRUNE):
        setattr(pytorch_utils, _PRUNE, None)  # called only to prune heads
        lent.append(_PRUNE)
    try:
        __import__(_FAST)
    except ImportError:
        from transformers import PreTrainedTokenizerFast

        sys.modules[_FAST] = ModuleType(_FAST)
        sys.modules[_FAST].BertTokenizerFast = PreTrainedTokenizerFast  # type: ignore[attr-defined]
        lent.append(_FAST)
    try:
        from bleurt_pytorch.bleurt import modeling_bleurt as package
    except ImportError as error:
        raise ConfigError("BLEURT needs a package that is missing: pip install bleurt-pytorch") from error
    finally:
        if _PRUNE in lent:
            delattr(pytorch_utils, _PRUNE)
        if _FAST in lent:
            del sys.modules[_FAST]
    base = package.BleurtPreTrainedModel
    if not hasattr(base, "get_head_mask"):
        base.get_head_mask = _head_mask
    if not hasattr(base, "get_extended_attention_mask"):
        base.get_extended_attention_mask = _extended_attention_mask
    return package.BleurtConfig, package.BleurtForSequenceClassification

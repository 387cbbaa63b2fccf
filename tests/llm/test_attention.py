"""Attention by products equals torch's kernel, in outputs and gradients."""

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from thinkrec.llm import attention

ROWS, HEADS, SHARED, LENGTH, WIDTH = 2, 6, 2, 9, 8


class Layer(nn.Module):
    """What the kernel asks of an attention layer."""

    num_key_value_groups = HEADS // SHARED
    is_causal = True


def masks() -> dict[str, Tensor | None]:
    """Return no mask, and a block of the first four tokens hidden from the later ones, in both dtypes."""
    seen = torch.ones(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool).tril()
    seen[1, :, 5:, :4] = False
    added = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    return {"causal": None, "boolean": seen, "added": added}


@pytest.mark.parametrize("name", ["causal", "boolean", "added"])
def test_products_equal_the_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    shapes = (HEADS, SHARED, SHARED)
    given = [torch.randn(ROWS, heads, LENGTH, WIDTH, requires_grad=True) for heads in shapes]
    other = [tensor.detach().clone().requires_grad_() for tensor in given]
    weight = torch.randn(ROWS, LENGTH, HEADS, WIDTH)
    mask, layer = masks()[name], Layer()
    expected = sdpa_attention_forward(layer, *other, mask, scaling=0.3)[0]
    with monkeypatch.context() as patched:  # the kernel must not be what answers
        patched.setattr(attention, "sdpa_attention_forward", None)
        patched.setattr(attention, "BLOCK", 4)  # several, the last one shorter
        found = attention.by_products(layer, *given, mask, scaling=0.3)[0]
    torch.testing.assert_close(found, expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for ours, theirs in zip(given, other, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("case", ["dropout", "long"])
def test_else_the_kernel_answers(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(
        attention, "sdpa_attention_forward", lambda *_, **__: called.append(case) or (0, None)
    )
    length = attention.MAX_LENGTH + 1 if case == "long" else LENGTH
    query, key = torch.randn(1, HEADS, length, WIDTH), torch.randn(1, SHARED, length, WIDTH)
    attention.by_products(Layer(), query, key, key, None, dropout=0.1 if case == "dropout" else 0.0)
    assert called == [case]


def test_one_more_token_attends_to_all_before() -> None:
    """A step of generation: one query, the last of the keys; long rows too, where no gradient is needed."""
    torch.manual_seed(1)
    length = attention.MAX_LENGTH + 3
    query, key = torch.randn(ROWS, HEADS, 1, WIDTH), torch.randn(ROWS, SHARED, length, WIDTH)
    seen = torch.ones(ROWS, 1, 1, length, dtype=torch.bool)
    seen[0, :, :, :5] = False
    with torch.no_grad():
        expected = sdpa_attention_forward(Layer(), query, key, key, seen)[0]
        found = attention.by_products(Layer(), query, key, key, seen)[0]
    torch.testing.assert_close(found, expected)

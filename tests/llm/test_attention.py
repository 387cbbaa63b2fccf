"""Attention by products equals torch's kernel, in outputs and gradients."""

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from thinkrec.llm import attention

EXACT = torch.float64  # any but float32, in which torch's kernel answers unless keys are left out
ROWS, HEADS, SHARED, LENGTH, WIDTH = 2, 6, 2, 9, 8


class Layer(nn.Module):
    """What the kernel asks of an attention layer."""

    num_key_value_groups = HEADS // SHARED
    is_causal = True


def masks() -> dict[str, Tensor | None]:
    """Return no mask, and a block of the first four tokens hidden from the later ones, in both dtypes."""
    seen = torch.ones(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool).tril()
    seen[1, :, 5:, :4] = False
    added = torch.zeros(seen.shape, dtype=EXACT).masked_fill(~seen, torch.finfo(EXACT).min)
    return {"causal": None, "boolean": seen, "added": added}


@pytest.mark.parametrize("name", ["causal", "boolean", "added"])
def test_products_equal_the_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    shapes = (HEADS, SHARED, SHARED)
    given = [torch.randn(ROWS, heads, LENGTH, WIDTH, dtype=EXACT, requires_grad=True) for heads in shapes]
    other = [tensor.detach().clone().requires_grad_() for tensor in given]
    weight = torch.randn(ROWS, LENGTH, HEADS, WIDTH, dtype=EXACT)
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


@pytest.mark.parametrize("case", ["dropout", "long", "float32"])
def test_else_the_kernel_answers(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(
        attention, "sdpa_attention_forward", lambda *_, **__: called.append(case) or (0, None)
    )
    length = attention.MAX_LENGTH + 1 if case == "long" else LENGTH
    dtype = torch.float32 if case == "float32" else EXACT
    query = torch.randn(1, HEADS, length, WIDTH, dtype=dtype)
    key = torch.randn(1, SHARED, length, WIDTH, dtype=dtype)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("additive", [True, False])
def test_keys_that_no_query_sees_are_left_out(
    dtype: torch.dtype, additive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions of three tokens after a history of five: none sees another, and rows differ in length."""
    torch.manual_seed(2)
    rounded = dtype == torch.bfloat16
    monkeypatch.setattr(attention, "BLOCK", 6)
    length = 5 + 3 * 9
    place = torch.arange(length)
    question = torch.where(place < 5, -1, (place - 5) // 3)
    seen = (question == question[:, None]) | (question == -1)
    seen = (seen & (place <= place[:, None])).expand(ROWS, 1, length, length).clone()
    seen[1, :, -4:, :] = torch.eye(length, dtype=torch.bool)[-4:]  # padding sees itself alone
    added = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    mask = added if additive else seen
    query, key, value = (
        torch.randn(ROWS, heads, length, WIDTH, dtype=dtype) for heads in (HEADS, SHARED, SHARED)
    )
    expected = sdpa_attention_forward(Layer(), query, key, value, mask)[0]
    keys = attention._keys_seen(mask, length)
    assert keys is not None
    assert keys[0] is None  # the history sees itself
    few = [len(each) for each in keys[2:] if each is not None]
    assert few == [12, 12, 12, 8]  # the history, and 7 or 3 tokens of questions
    monkeypatch.setattr(attention, "sdpa_attention_forward", None)
    with torch.no_grad():
        for _ in range(2):  # the second layer finds the keys of the first
            found = attention.by_products(Layer(), query, key, value, mask)[0]
            torch.testing.assert_close(found, expected, **({"rtol": 0, "atol": 0.03} if rounded else {}))
    assert attention._keys_seen(mask, length) is keys

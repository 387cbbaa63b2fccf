"""The formula of operations against those that torch counts while a tiny model really computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_chain import Chain
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from thinkrec.costs.measure import hidden_of
from thinkrec.costs.work import Shapes, Sizes, backward_flops, decode_flops, forward_flops
from thinkrec.llm.batches import collate
from thinkrec.llm.loss import joint_loss
from thinkrec.llm.plan import Plan
from thinkrec.stages.experts import plan_experts
from thinkrec.stages.global_ import plan_global
from thinkrec.stages.projector import plan_projector

TOLERANCE = 0.01  # rotary positions, the score's two rows of the head
ROWS = 8


def product(_: Any, one: Any, other: Any, **__: Any) -> int:
    """Operations of the product that is added in place, which torch does not count by itself."""
    return 2 * one[0] * one[1] * other[1]


IN_PLACE = {torch.ops.aten.addmm_: product}


def plan(chain: Chain, stage: str) -> Plan[Any]:
    layout, params = chain.layout, chain.params
    if stage == "projector":
        found = plan_projector(layout, params)
        assert found.model.gates is not None
        found.model.gates = torch.full_like(found.model.gates, 0.5)  # adapters that nobody uses cost nothing
        return found
    if stage == "global":
        return plan_global(layout, params)
    experts = params.experts.model_copy(update={"last_layers": 1})
    return next(plan_experts(layout, params.model_copy(update={"experts": experts})))


def operations(model: Any, found: Plan[Any], backward: bool) -> int:
    """What torch counts; attention by plain products, since the CPU's fused kernel is not in its books."""
    backbone = found.task.backbone
    batch = collate(found.samples[:ROWS], backbone.pad)
    # The head's gradient is taken on the way forward, so a forward pass alone is one without gradients.
    with (
        sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter,
        torch.set_grad_enabled(backward),
    ):  # fmt: skip
        hidden = hidden_of(model, backbone)(batch)
        loss = joint_loss(hidden, backbone.head, batch, backbone.answers, found.task.score).total.mean()
        if backward:
            loss.backward()
    return counter.get_total_flops()


RUNS = [("global", False), ("global", True), ("experts", False), ("experts", True), ("projector", False)]


@pytest.mark.parametrize(("stage", "checkpointing"), RUNS)
def test_training(chain: Chain, stage: str, checkpointing: bool) -> None:
    found = plan(chain, stage)
    model = found.model.train()
    if checkpointing:  # as TRL's trainer turns it on
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    shapes = Shapes.of([found.samples[:ROWS]])
    sizes = Sizes.of(model, found.task.backbone, checkpointing)
    forward, backward = forward_flops(shapes, sizes), backward_flops(shapes, sizes, checkpointing)
    assert forward == pytest.approx(operations(model, found, backward=False), rel=TOLERANCE)
    # Plain products leave out the gradient of the lowest keys, which no LoRA reads; fused kernels do not.
    keys = 0 if sizes.to_embeddings else 2 * sizes.attention * ROWS * shapes.longest[0] ** 2
    assert forward + backward - keys == pytest.approx(operations(model, found, backward=True), rel=TOLERANCE)
    if not checkpointing:
        assert backward < 1.25 * forward  # no gradient of the backbone's weights, which would make it 2


def test_a_gradient_that_ends_early_costs_less(chain: Chain) -> None:
    found = plan(chain, "experts")
    shapes, sizes = Shapes.of([found.samples[:ROWS]]), Sizes.of(found.model, found.task.backbone)
    assert sizes.trained.tolist() == [False, False, True]
    deep = replace(sizes, to_embeddings=True)
    assert backward_flops(shapes, sizes) < 0.45 * backward_flops(shapes, deep)


def test_generated_tokens(chain: Chain) -> None:
    found = plan(chain, "projector")
    student, backbone = found.model, found.task.backbone
    ids = torch.randint(5, 500, (2, 40))
    examples = [replace(found.samples[0], ids=[1] * 30, start=30, ce=0.0, items=[])] * 2
    shapes, sizes = Shapes.of([examples]), Sizes.of(student, backbone)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), student.bank.applied(
        backbone.model, student.gates[[1, 2]]
    ):  # fmt: skip
        past = backbone.model(ids[:, :30], use_cache=True, logits_to_keep=1).past_key_values
        with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
            for place in range(30, 40):
                backbone.model(ids[:, place : place + 1], past_key_values=past, use_cache=True)
    expected = decode_flops(shapes, sizes, torch.tensor([10]).numpy())
    assert expected == pytest.approx(counter.get_total_flops(), rel=TOLERANCE)

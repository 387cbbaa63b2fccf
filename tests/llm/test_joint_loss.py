"""The joint loss against its definition, computed with all logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import prompts
from peft import PeftModel
from small_chain import Chain
from torch import Tensor
from torch.nn import functional
from transformers import TrainerCallback

from thinkrec.config.sections import Global, Lora
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ModelError
from thinkrec.llm import trainer
from thinkrec.llm.adapter import new_adapter
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.batches import Batch, Example, collate
from thinkrec.llm.loss import Score, joint_loss
from thinkrec.llm.scorer import Asked, score_examples
from thinkrec.llm.student import hidden_states
from thinkrec.llm.trainer import Task, train

SCORES: list[Score] = ["yes_logit", "yes_minus_no"]


@pytest.fixture
def samples(loaded: Backbone, items: Items, data: Interactions) -> list[Example]:
    """Eight recommendation and reasoning samples of different lengths."""
    found = []
    for number, example in enumerate(prompts(loaded, items, data)[:8]):
        answer = [loaded.answers[0] if example.label else loaded.answers[1]]
        reasoning = number % 3 == 0
        tail = [5 + number, 9, 30, int(loaded.tokenizer.eos_token_id)] if reasoning else []
        weights = (0.1, 0.9) if reasoning else (0.9, 0.1)
        found.append(replace(example, ids=[*example.ids, *answer, *tail], bce=weights[0], ce=weights[1]))
    return found


def asked(backbone: Backbone, samples: list[Example]) -> Asked:
    return Asked.of_prompts(samples, backbone.placeholders[1])


def defined(logits: Tensor, example: Example, answers: tuple[int, int], kind: Score) -> Tensor:
    """The loss of one sample as the method states it. Shapes: logits [T, V]."""
    at = logits[example.start - 1]
    score = at[answers[0]] - (at[answers[1]] if kind == "yes_minus_no" else 0)
    bce = functional.binary_cross_entropy_with_logits(score, torch.tensor(float(example.label)))
    target = torch.tensor(example.ids[example.start :])
    ce = functional.cross_entropy(logits[example.start - 1 : len(example.ids) - 1], target)
    return example.bce * bce + example.ce * ce


@pytest.mark.parametrize("kind", SCORES)
def test_the_joint_loss_is_what_full_logits_give(
    loaded: Backbone, samples: list[Example], kind: Score
) -> None:
    batch = collate(samples, loaded.pad)
    with torch.no_grad():
        hidden = loaded.model.model(input_ids=batch.ids).last_hidden_state
        found = joint_loss(hidden, loaded.head, batch, loaded.answers, kind)
        alone = [loaded.model(input_ids=torch.tensor([sample.ids])).logits[0] for sample in samples]
    expected = torch.stack([
        defined(logits, sample, loaded.answers, kind) for logits, sample in zip(alone, samples, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(found.total, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.total, batch.bce * found.bce + batch.ce * found.ce)


def test_without_weight_there_is_no_cross_entropy(loaded: Backbone, samples: list[Example]) -> None:
    batch = collate([replace(sample, ce=0.0) for sample in samples], loaded.pad)
    with torch.no_grad():
        hidden = loaded.model.model(input_ids=batch.ids).last_hidden_state
        found = joint_loss(hidden, loaded.head, batch, loaded.answers, "yes_logit")
    assert not found.ce.any()
    torch.testing.assert_close(found.total, batch.bce * found.bce)


class Grads(TrainerCallback):
    """Keeps the gradients that the first optimizer step sees."""

    def __init__(self) -> None:
        self.seen: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        if not self.seen:
            self.seen = {
                name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad
            }


def noisy_adapter(backbone: Backbone) -> PeftModel:
    """An adapter without dropout whose halves are both random."""
    model = new_adapter(backbone, Lora(rank=4, dropout=0.0), 3)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=rng) * 0.1)
    return model


def first_gradients(
    backbone: Backbone, samples: list[Example], monkeypatch: pytest.MonkeyPatch, work: Path, training: Global
) -> dict[str, Tensor]:
    """Gradients of the first step of a training run, without clipping, which would hide their scale."""
    grads, trainers, config = Grads(), trainer.AdapterTrainer, trainer._config

    def unclipped(*args: Any) -> Any:
        return replace(config(*args), max_grad_norm=0.0)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "AdapterTrainer", lambda **options: trainers(**options, callbacks=[grads]))
        patch.setattr(trainer, "_config", unclipped)
        task = Task(backbone, "yes_minus_no", asked(backbone, samples[:4]))
        train(noisy_adapter(backbone), samples, task, training, work, 3)
    return grads.seen


def test_a_step_has_the_same_gradient_however_it_is_cut(
    chain: Chain, samples: list[Example], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backbone = load_backbone(chain.layout.backbone)
    model, batch = noisy_adapter(backbone), collate(samples, backbone.pad)
    loss = joint_loss(
        hidden_states(model, batch, backbone), backbone.head, batch, backbone.answers, "yes_minus_no"
    )
    loss.total.mean().backward()
    expected = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert len(expected) == 12
    for size, packing in ((8, False), (4, False), (2, False), (1, False), (8, True), (4, True)):
        training = Global(
            epochs=1, evaluations=1, batch_size=size, gradient_accumulation=8 // size, packing=packing
        )
        fresh = load_backbone(chain.layout.backbone)
        grads = first_gradients(fresh, samples, monkeypatch, tmp_path / f"{size}{packing}", training)
        assert grads.keys() == expected.keys()
        for name, wanted in expected.items():
            assert wanted is not None
            distance = float((grads[name] - wanted).norm() / wanted.norm())
            assert distance < 1e-5, f"batch size {size}, packed {packing}, {name}: {distance}"


def test_a_loss_that_is_not_finite_names_its_rows(
    loaded: Backbone, samples: list[Example], tmp_path: Path
) -> None:
    spoiled = [
        replace(sample, bce=float("nan")) if n in (2, 5) else sample for n, sample in enumerate(samples)
    ]
    training = Global(epochs=1, batch_size=8, evaluations=1)
    model = new_adapter(loaded, training.lora, 1)
    with pytest.raises(ModelError) as error:
        train(model, spoiled, Task(loaded, "yes_logit", asked(loaded, samples[:2])), training, tmp_path, 1)
    rows = [samples[2].row, samples[5].row]
    assert (
        str(error.value) == f"the loss of rows {rows} is not finite: lower the learning rate or use float32"
    )


def test_a_score_that_is_not_finite_names_its_row(loaded: Backbone, samples: list[Example]) -> None:
    def hidden(batch: Batch) -> Tensor:
        return torch.full((*batch.ids.shape, 64), float("nan"))

    with pytest.raises(ModelError) as error:
        score_examples(hidden, loaded, samples[:3], 2, "yes_logit")
    assert str(error.value) == (
        f"the score of row {samples[0].row} is not finite: the adapters or the backbone hold NaN or "
        "overflow: train them again with a lower learning rate, or set backbone.dtype in params.yaml to "
        "float32"
    )

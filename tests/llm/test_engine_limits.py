"""What a small machine or an odd input brings: little memory, long prompts, missing packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import bare, prompts, write_adapter
from peft import PeftModel
from small_chain import Chain

from thinkrec.config.sections import Global
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.llm import trainer
from thinkrec.llm.adapter import new_adapter
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.bank import LoraBank
from thinkrec.llm.batches import Batch, collate
from thinkrec.llm.examples import asked_of
from thinkrec.llm.loss import JointLoss, joint_loss, scores
from thinkrec.llm.projector import Projector
from thinkrec.llm.scorer import Asked, score, score_examples
from thinkrec.llm.steps import trained_weights
from thinkrec.llm.student import Student, Vectors, hidden_states
from thinkrec.llm.trainer import Task, train
from thinkrec.prompts.render import PromptWriter


def test_linear_fusion_is_what_peft_combines(
    family: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    """And not the sum of the updates."""
    folders = [write_adapter(tmp_path / str(k), family, k) for k in (1, 2)]
    gates = torch.tensor([0.7, 0.3]).repeat(data.users + 1, 1)
    examples = prompts(family, items, data)[:6]
    found = {}
    for fusion in ("exact", "linear"):
        student = Student(family, LoraBank(folders, family.model, fusion), gates)  # type: ignore[arg-type]
        found[fusion] = score_examples(student, family, examples, 6, "yes_minus_no")
    peft = PeftModel.from_pretrained(family.model, str(folders[0]), adapter_name="1").eval()
    peft.load_adapter(str(folders[1]), adapter_name="2")
    peft.add_weighted_adapter(["1", "2"], [0.7, 0.3], "mixed", combination_type="linear")
    peft.set_adapter("mixed")
    peft.eval()
    for number, example in enumerate(examples):
        batch = collate([example], family.pad)
        with torch.no_grad():
            hidden = hidden_states(peft, batch, family)
            expected = scores(hidden, family.head, batch, family.answers, "yes_minus_no")
        assert found["linear"][number] == pytest.approx(float(expected[0]), abs=1e-4)
    assert np.abs(found["linear"] - found["exact"]).max() > 1e-2


def test_checkpointing_gives_the_projector_the_same_gradient(
    loaded: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    """The layers are computed again on the way back, under the same mixture of adapters."""
    folders = [write_adapter(tmp_path / str(k), loaded, k) for k in (1, 2)]
    gates = torch.rand(data.users + 1, 2, generator=torch.Generator().manual_seed(1))
    rng = torch.Generator().manual_seed(0)
    vectors = Vectors(torch.randn(data.users + 1, 4, generator=rng), torch.randn(200, 4, generator=rng))
    torch.manual_seed(0)
    projector = Projector(4, loaded.head.shape[1], 2)
    student = Student(loaded, LoraBank(folders, loaded.model), gates, projector, vectors).train()
    batch = collate(prompts(loaded, items, data, vectors=True)[:5], loaded.pad)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            student.gradient_checkpointing_enable()
        loss = joint_loss(student(batch), loaded.head, batch, loaded.answers, "yes_logit").total.mean()
        gradients.append(torch.autograd.grad(loss, list(projector.parameters())))
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-4, atol=1e-7)
    assert max(float(each.abs().max()) for each in gradients[0]) > 0
    assert student.bank is not None
    adapted = [loaded.model.get_submodule(name) for name in student.bank.names]
    assert all(module._forward_hooks for module in adapted)
    student.bank.release()
    assert not any(module._forward_hooks for module in adapted)
    assert bare(loaded.model)


def test_training_out_of_memory_goes_on_with_the_same_steps(
    chain: Chain, items: Items, data: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Batches of 4 do not fit: two passes of 2 make a step, and the weights come out the same."""
    training, found = Global(epochs=1, evaluations=1, batch_size=4, warmup_steps=0), []
    real = trainer.joint_loss
    for most in (4, 3):

        def limited(
            hidden: torch.Tensor, head: torch.Tensor, batch: Batch, *rest, most: int = most
        ) -> JointLoss:  # type: ignore[no-untyped-def]
            if len(batch.row) > most:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(hidden, head, batch, *rest)

        monkeypatch.setattr(trainer, "joint_loss", limited)
        loaded = load_backbone(chain.layout.backbone)
        examples = prompts(loaded, items, data)[:12]
        samples = [replace(e, ids=[*e.ids, loaded.answers[1 - e.label]], bce=0.9, ce=0.1) for e in examples]
        lora = training.lora.model_copy(update={"dropout": 0.0})
        model = new_adapter(loaded, lora, 1)
        task = Task(loaded, "yes_minus_no", Asked.of_prompts(examples[:4], loaded.placeholders[1]))
        train(model, samples, task, training, tmp_path / str(most), 1)
        found.append({name: weight.detach().clone() for name, weight in trained_weights(model)})
    assert "out of memory: continuing with 2 rows a pass, 2 passes a step" in caplog.text
    moved = [name for name, weight in found[0].items() if "lora_B" in name and weight.abs().max() > 1e-4]
    assert moved
    for name, weight in found[0].items():
        torch.testing.assert_close(found[1][name], weight, rtol=1e-3, atol=1e-5)


FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize("layout", ["prompt", "timeline"])
@pytest.mark.parametrize("vectors", [False, True])
def test_scoring_out_of_memory_goes_on_with_fewer_targets_of_a_row(
    layout: str,
    vectors: bool,
    chain: Chain,
    items: Items,
    data: Interactions,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rows of several targets, of which two fit; the scores are the same, in place."""
    loaded = load_backbone(chain.layout.backbone)
    prompt = chain.params.prompt.model_copy(update={"layout": layout})
    writer = PromptWriter(items, prompt, loaded.tokenizer, vectors, "train")
    asked = asked_of(writer, data, data.rows("test")[:30])
    assert max(len(numbers) for numbers, _ in asked.rows) > 3
    rng = torch.Generator().manual_seed(0)
    vector = Vectors(
        torch.randn(data.users + 1, 4, generator=rng), torch.randn(len(items.title), 4, generator=rng)
    )
    torch.manual_seed(0)
    made = Projector(4, loaded.head.shape[1], 2)
    student = Student(loaded, projector=made, vectors=vector) if vectors else Student(loaded)
    lengths: list[int] = []

    def limited(batch: Batch) -> torch.Tensor:
        if len(batch.row) > 2:
            raise RuntimeError(FULL)
        lengths.append(batch.ids.shape[1])
        return student(batch)  # type: ignore[no-any-return]

    expected = score(student, loaded, asked, 30, "yes_minus_no")
    found = score(limited, loaded, asked, 30, "yes_minus_no")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected) > 1e-2
    assert "out of memory with 1 rows of a batch: half as many" in caplog.text
    assert max(lengths) < max(len(row.ids) for numbers, row in asked.rows if len(numbers) > 3)


def test_a_prompt_for_which_memory_does_not_suffice_says_what_to_lower(
    loaded: Backbone, items: Items, data: Interactions
) -> None:
    def full(batch: Batch) -> torch.Tensor:
        raise RuntimeError(FULL)

    examples = prompts(loaded, items, data)[:3]
    longest = max(len(example.ids) for example in examples)
    words = (
        rf"^out of memory with a single row of {longest} tokens, which a smaller "
        r"evaluate.batch_size can't help: lower prompt.history_length, prompt.keywords or prompt.max_tokens"
    )
    with pytest.raises(ModelError, match=words):
        score(full, loaded, Asked.of_rows(examples), 3, "yes_logit")


def test_of_a_long_prompt_the_oldest_history_goes(
    loaded: Backbone, items: Items, data: Interactions, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    rows = np.array([row for row in data.rows("test") if data.position[row] >= 4][:8])
    full = PromptWriter(items, chain.params.prompt, loaded.tokenizer, vectors=True)
    whole = full.encode(data, rows)
    most = sorted(len(each.ids) for each in whole)[3] - 1
    short = PromptWriter(
        items, chain.params.prompt.model_copy(update={"max_tokens": most}), loaded.tokenizer, True
    )
    found = short.encode(data, rows)
    assert all(len(each.ids) <= most for each in found)
    longer = sum(len(each.ids) > most for each in whole)
    assert f"{longer} of {len(rows)} prompts are longer than prompt.max_tokens ({most})" in caplog.text
    for row, before, after in zip(rows.tolist(), whole, found, strict=True):
        assert after.items == before.items[len(before.items) - len(after.items) :]  # the oldest went
        assert after.items[-1] == data.item_id[row]
        fewer = full.prompt.model_copy(update={"history_length": len(after.items) - 1})
        if len(after.items) > 1:
            (expected,) = PromptWriter(items, fewer, loaded.tokenizer, True).encode(data, np.array([row]))
            assert after.ids == expected.ids


def test_four_bits_need_their_package(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    facts = read_json(layout.backbone / "backbone.json")
    write_json(layout.backbone / "backbone.json", facts | {"load_in_4bit": True})
    with pytest.raises(ModelError, match=r"^backbone.load_in_4bit needs a GPU and the package bitsandbytes"):
        load_backbone(layout.backbone)


def test_a_backbone_without_a_pad_token(loaded: Backbone, items: Items, data: Interactions) -> None:
    """The end token pads; nothing sees it."""
    expected = score_examples(Student(loaded), loaded, prompts(loaded, items, data), 5, "yes_logit")
    loaded.tokenizer.pad_token = None
    assert loaded.pad == loaded.tokenizer.eos_token_id
    found = score_examples(Student(loaded), loaded, prompts(loaded, items, data), 5, "yes_logit")
    np.testing.assert_allclose(found, expected, atol=1e-4)

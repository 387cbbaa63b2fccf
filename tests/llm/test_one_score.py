"""Guarantee 3: one prompt, one score, whoever computes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import prompts, write_adapter
from peft import PeftModel
from small_chain import Chain

from thinkrec.data.tables import Interactions, Items
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.bank import LoraBank
from thinkrec.llm.batches import Example, collate
from thinkrec.llm.examples import score_examples_of
from thinkrec.llm.loss import Score, scores
from thinkrec.llm.scorer import Asked, score_examples
from thinkrec.llm.student import Student, hidden_states
from thinkrec.prompts.render import PromptWriter
from thinkrec.systems.fusion import load_fusion, load_student
from thinkrec.systems.parts import LANGUAGE

TOLERANCE: dict[str, Any] = {"rtol": 0, "atol": 1e-4}
KIND: Score = "yes_minus_no"


def test_training_scoring_plain_peft_and_merged_weights_agree(
    family: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    examples = prompts(family, items, data)
    assert len({len(example.ids) for example in examples}) > 2
    folder = write_adapter(tmp_path / "adapter", family, 1)
    bare = score_examples(Student(family), family, examples, 5, KIND)
    student = Student(family, LoraBank([folder], family.model), torch.ones(data.users + 1, 1))
    banked = score_examples(student, family, examples, 5, KIND)
    assert np.abs(banked - bare).max() > 1e-2
    assert np.ptp(banked) > 1e-2
    alone = score_examples(student, family, examples, 1, KIND)
    at_once = score_examples(student, family, examples, len(examples), KIND)

    peft = PeftModel.from_pretrained(family.model, str(folder)).eval()
    trained = score_examples(lambda batch: hidden_states(peft, batch, family), family, examples, 5, KIND)
    masked = []
    for example in examples:  # a user's own code: Hugging Face's call, all logits
        ids = torch.tensor([example.ids])
        logits = peft(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
        masked.append(float(logits[family.answers[0]] - logits[family.answers[1]]))
    merged_model = replace(family, model=peft.merge_and_unload())
    merged = score_examples(Student(merged_model), merged_model, examples, 5, KIND)
    for other in (alone, at_once, trained, np.array(masked), merged):
        np.testing.assert_allclose(other, banked, **TOLERANCE)


def test_hidden_states_of_plain_peft_are_the_banks(
    family: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "adapter", family, 2)
    batch = collate(prompts(family, items, data)[:6], family.pad)
    with torch.no_grad():
        student = Student(family, LoraBank([folder], family.model), torch.ones(data.users + 1, 1))
        banked = student(batch)
        peft = PeftModel.from_pretrained(family.model, str(folder)).eval()
        plain = hidden_states(peft, batch, family)
    for row, end in enumerate(batch.end.tolist()):
        torch.testing.assert_close(plain[row, :end], banked[row, :end], rtol=0, atol=1e-4)


def test_users_with_different_gates_share_a_batch(
    family: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    examples = prompts(family, items, data)
    folders = [write_adapter(tmp_path / str(k), family, k) for k in (1, 2, 3)]
    gates = torch.rand(data.users + 1, 3, generator=torch.Generator().manual_seed(0))
    gates /= gates.sum(1, keepdim=True)
    student = Student(family, LoraBank(folders, family.model), gates)
    mixed = score_examples(student, family, examples, len(examples), KIND)
    alone = score_examples(student, family, examples, 1, KIND)
    np.testing.assert_allclose(mixed, alone, **TOLERANCE)
    same = Student(family, LoraBank(folders, family.model), gates[:1].expand_as(gates))
    assert np.abs(score_examples(same, family, examples, 5, KIND) - mixed).max() > 1e-3

    peft = PeftModel.from_pretrained(family.model, str(folders[0]), adapter_name="1").eval()
    for k in (2, 3):
        peft.load_adapter(str(folders[k - 1]), adapter_name=str(k))
    for number in (0, 5, 13):
        weights = gates[examples[number].user].tolist()
        peft.add_weighted_adapter(["1", "2", "3"], weights, f"mixed{number}", combination_type="cat")
        peft.set_adapter(f"mixed{number}")
        peft.eval()  # a new adapter's dropout is on
        batch = collate([examples[number]], family.pad)
        with torch.no_grad():
            found = scores(hidden_states(peft, batch, family), family.head, batch, family.answers, KIND)
        np.testing.assert_allclose(found.numpy(), mixed[[number]], **TOLERANCE)


@pytest.mark.parametrize("name", ["backbone", "global", "thinkrec-no-projector", "thinkrec"])
def test_the_trained_systems_score_a_batch_as_they_score_one(chain: Chain, name: str) -> None:
    layout, params = chain.layout, chain.params
    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.gate)
    assert all(fusion.kinds[kind] for kind in ("averaged", "concentrated", "mixed"))
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, LANGUAGE[name].vectors)
    data = Interactions.load(layout.interactions)
    examples = score_examples_of(writer, data, data.rows("test")[:24])
    student = load_student(layout, loaded, fusion, name, Asked.of_rows(examples), KIND, chain.params.prompt)
    many = score_examples(student, loaded, examples, 24, KIND)
    np.testing.assert_allclose(score_examples(student, loaded, examples, 1, KIND), many, **TOLERANCE)


def test_the_score_is_the_logit_of_yes_or_its_distance_to_that_of_no() -> None:
    rng = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(2, 5, 4, generator=rng), torch.randn(9, 4, generator=rng)
    batch = collate([Example([0] * 4, 3, 1), Example([0] * 5, 5, 0)], 0)
    logits = hidden @ head.T
    yes = torch.stack([logits[0, 2, 7], logits[1, 4, 7]])
    no = torch.stack([logits[0, 2, 3], logits[1, 4, 3]])
    assert torch.allclose(scores(hidden, head, batch, (7, 3), "yes_logit"), yes, atol=1e-6)
    assert torch.allclose(scores(hidden, head, batch, (7, 3), "yes_minus_no"), yes - no, atol=1e-6)

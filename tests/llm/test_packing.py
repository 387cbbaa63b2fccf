"""Packed rows: every prompt's hidden states, scores and losses are those it has alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import prompts, write_adapter
from small_chain import Chain

from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ModelError
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.bank import LoraBank
from thinkrec.llm.batches import Example, Packed, collate
from thinkrec.llm.loss import joint_loss, scores
from thinkrec.llm.packing import shared_prefixes, side_by_side
from thinkrec.llm.scorer import Asked, score_examples
from thinkrec.llm.student import Student
from thinkrec.prompts.render import PromptWriter
from thinkrec.systems.fusion import load_fusion, load_student

PLACEHOLDER = -5  # an item token that no tokenizer gives


def mixing(family: Backbone, users: int, tmp_path: Path) -> Student:
    """A backbone with three noisy adapters and other weights for every user."""
    folders = [write_adapter(tmp_path / str(k), family, k) for k in (1, 2, 3)]
    gates = torch.rand(users + 1, 3, generator=torch.Generator().manual_seed(0))
    return Student(family, LoraBank(folders, family.model), gates / gates.sum(1, keepdim=True))


def candidates(writer: PromptWriter, data: Interactions, rows: np.ndarray, count: int) -> list[Example]:
    """Prompts of `count` items for the history before each row."""
    found = []
    for row in rows.tolist():
        for item in range(1, count + 1):
            item_id = data.item_id.copy()
            item_id[row] = item
            (encoded,) = writer.encode(replace(data, item_id=item_id), np.array([row]))
            user, items = encoded.user, encoded.items
            found.append(Example(encoded.ids, len(encoded.ids), item % 2, user=user, items=items, row=row))
    return found


def test_losses_side_by_side_are_those_of_padded_rows(
    family: Backbone, items: Items, data: Interactions, tmp_path: Path
) -> None:
    student = mixing(family, data.users, tmp_path)
    samples = []
    for number, example in enumerate(prompts(family, items, data)):
        tail = [5 + number, 9, 30, 12][: 1 + 3 * (number % 2)]
        samples.append(replace(example, ids=[*example.ids, *tail], bce=0.3, ce=0.7))
    rows = side_by_side(samples, family.placeholders[1])
    assert len(rows) < len(samples) and max(len(row.ids) for row in rows) == max(
        len(sample.ids) for sample in samples
    )
    found = {}
    for name, batch in (("padded", collate(samples, family.pad)), ("packed", collate(rows, family.pad))):
        loss = joint_loss(student(batch), family.head, batch, family.answers, "yes_minus_no")
        order = batch.row.argsort(stable=True)
        found[name] = torch.stack([loss.bce[order], loss.ce[order], loss.total[order]])
    assert len({sample.row for sample in samples}) == len(samples)
    torch.testing.assert_close(found["packed"], found["padded"], rtol=1e-5, atol=0)


def test_gradients_of_packed_rows_are_those_of_padded_ones(
    family: Backbone, items: Items, data: Interactions
) -> None:
    samples = [replace(e, ids=[*e.ids, 7, 8], ce=0.5) for e in prompts(family, items, data)[:6]]
    table = family.model.get_input_embeddings().weight
    gradients = []
    for rows in (samples, side_by_side(samples, family.placeholders[1])):
        table.requires_grad_(True)
        batch = collate(rows, family.pad)
        loss = joint_loss(Student(family)(batch), family.head.detach(), batch, family.answers, "yes_logit")
        gradients.append(torch.autograd.grad(loss.total.sum(), table)[0])
        table.requires_grad_(False)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_candidates_behind_one_history_score_as_each_alone(
    family: Backbone, items: Items, data: Interactions, chain: Chain, tmp_path: Path
) -> None:
    student = mixing(family, data.users, tmp_path)
    writer = PromptWriter(items, chain.params.prompt, family.tokenizer)
    rows = data.rows("test")[[0, 3, -1]]
    examples = candidates(writer, data, rows, 6)
    examples = [examples[k] for k in np.random.default_rng(0).permutation(len(examples))]
    laid = list(shared_prefixes(examples, family.placeholders[1], 2048))
    assert sorted(number for numbers, _ in laid for number in numbers) == list(range(len(examples)))
    assert len(laid) == len(rows)
    assert sum(len(row.ids) for _, row in laid) < 0.6 * sum(len(example.ids) for example in examples)
    together = score_examples(student, family, examples, 50, "yes_minus_no")
    with torch.no_grad():
        for number, example in enumerate(examples):
            batch = collate([example], family.pad)
            alone = scores(student(batch), family.head, batch, family.answers, "yes_minus_no")
            assert together[number] == pytest.approx(float(alone[0]), abs=1e-4)
    assert np.ptp(together) > 1e-2


def test_the_trained_student_with_vectors_scores_candidates_as_each_alone(chain: Chain) -> None:
    """Items of the same words but other vectors share no placeholder."""
    layout, params = chain.layout, chain.params
    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.gate)
    data = Interactions.load(layout.interactions)
    examples = candidates(
        PromptWriter.load(layout, loaded.tokenizer, params.prompt, True), data, data.rows("test")[:3], 5
    )
    student = load_student(
        layout, loaded, fusion, "thinkrec", Asked.of_rows(examples), "yes_minus_no", chain.params.prompt
    )
    twin = replace(examples[0], items=[*examples[0].items[:-1], examples[1].items[-1]])
    examples.append(twin)
    together = score_examples(student, loaded, examples, 50, "yes_minus_no")
    with torch.no_grad():
        for number, example in enumerate(examples):
            batch = collate([example], loaded.pad)
            alone = scores(student(batch), loaded.head, batch, loaded.answers, "yes_minus_no")
            assert together[number] == pytest.approx(float(alone[0]), abs=1e-4)
    assert twin.ids == examples[0].ids and abs(together[-1] - together[0]) > 1e-6


def test_prompts_that_share_little_stay_plain() -> None:
    far = [Example([1, 2, *range(10 * k, 10 * k + 8)], 10, 1, user=1, row=k) for k in range(1, 5)]
    other = [replace(far[0], user=2, row=9)]
    batches = list(Asked.of_prompts([*far, *other], PLACEHOLDER).batches(3))
    assert [len(batch) for batch in batches] == [3, 2]
    assert all(not isinstance(row, Packed) for batch in batches for _, row in batch)


def test_long_rows_of_candidates_are_cut() -> None:
    near = [Example([*range(50), 100 + k, 200 + k], 52, 1, user=1) for k in range(10)]
    laid = list(shared_prefixes(near, PLACEHOLDER, 60))
    assert all(len(row.ids) <= 60 for _, row in laid)
    assert [len(numbers) for numbers, _ in laid] == [5, 5]


def test_rows_of_candidates_are_at_most_four_prompts_long() -> None:
    near = [Example([*range(600), 1000 + k], 601, 1, user=1) for k in range(3000)]
    laid = list(shared_prefixes(near, PLACEHOLDER))
    assert {len(row.ids) for _, row in laid[:-1]} == {4 * 601}
    few = [Example([*range(50), 1000 + k], 51, 1, user=1) for k in range(3000)]
    assert len(next(shared_prefixes(few, PLACEHOLDER))[1].ids) == 1024


def test_a_prompt_twice_is_scored_twice(loaded: Backbone, items: Items, data: Interactions) -> None:
    example = prompts(loaded, items, data)[0]
    found = score_examples(Student(loaded), loaded, [example] * 3, 8, "yes_minus_no")
    alone = score_examples(Student(loaded), loaded, [example], 8, "yes_minus_no")
    np.testing.assert_allclose(found, np.repeat(alone, 3), atol=1e-4)


def test_out_of_memory_halves_the_batch(
    loaded: Backbone, items: Items, data: Interactions, caplog: pytest.LogCaptureFixture
) -> None:
    examples, student = prompts(loaded, items, data), Student(loaded)
    expected = score_examples(student, loaded, examples, 4, "yes_minus_no")

    def small(batch):  # type: ignore[no-untyped-def]
        if len(batch.ids) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return student(batch)

    found = score_examples(small, loaded, examples, len(examples), "yes_minus_no")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert "out of memory with" in caplog.text

    def never(batch):  # type: ignore[no-untyped-def]
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(ModelError, match="out of memory with a single row"):
        score_examples(never, loaded, examples, 4, "yes_minus_no")

"""Reasons in words, and the projector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_chain import Chain

from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.llm.backbone import load_backbone
from thinkrec.llm.batches import Example, by_length, collate
from thinkrec.llm.examples import score_examples_of
from thinkrec.llm.generate import generate_reasons
from thinkrec.llm.projector import Projector
from thinkrec.llm.scorer import Asked, score_examples
from thinkrec.llm.student import Student
from thinkrec.stages.assemble import load_fusion, load_student
from thinkrec.stages.writer import make_writer


@pytest.fixture(scope="module")
def parts(chain: Chain) -> tuple[Student, list[Example]]:
    """The trained student, and prompts of different lengths."""
    layout, params = chain.layout, chain.params
    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.evaluate.gate)
    data = Interactions.load(layout.interactions)
    writer = make_writer(layout, loaded, params.prompt, vectors=True)
    examples = score_examples_of(writer, data, data.rows("test")[:9])
    return load_student(layout, loaded, fusion, "thinkrec", Asked.of_rows(examples), "yes_minus_no"), examples


def test_reasons_come_from_the_seed(chain: Chain, parts: tuple[Student, list[Example]]) -> None:
    first = generate_reasons(*parts, chain.params.evaluate, 7)
    assert first == generate_reasons(*parts, chain.params.evaluate, 7)
    assert first != generate_reasons(*parts, chain.params.evaluate, 8)
    assert len(first) == 9
    assert all(reason == " ".join(reason.split()) for reason in first)
    assert not any("<|" in reason for reason in first)


@pytest.mark.parametrize("size", [9, 4, 1])
def test_the_first_word_is_drawn_from_the_logits_that_make_the_score(
    chain: Chain, parts: tuple[Student, list[Example]], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    student, examples = parts
    model, (yes, no) = student.backbone.model, student.backbone.answers
    generate, seen = model.generate, []

    def watched(**options: Any) -> torch.Tensor:
        found = generate(**options, output_logits=True, return_dict_in_generate=True)
        seen.append(found.logits[0][:, yes] - found.logits[0][:, no])
        sequences: torch.Tensor = found.sequences
        return sequences

    monkeypatch.setattr(model, "generate", watched)
    options = chain.params.evaluate.model_copy(update={"reason_tokens": 1, "batch_size": size})
    generate_reasons(student, examples, options, 7)
    order = np.concatenate(list(by_length(examples, size)))
    scored = score_examples(student, student.backbone, examples, 3, "yes_minus_no")
    np.testing.assert_allclose(torch.cat(seen).numpy(), scored[order], rtol=0, atol=1e-4)


def test_a_generation_that_was_cut_off_goes_on_to_the_same_texts(
    chain: Chain, parts: tuple[Student, list[Example]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after two of three batches, in the middle of the second's line."""
    student, examples = parts
    options = chain.params.evaluate.model_copy(update={"batch_size": 3})
    expected = generate_reasons(student, examples, options, 7)
    journal = tmp_path / "work" / "reasons.jsonl"
    assert generate_reasons(student, examples, options, 7, journal) == expected
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    journal.write_bytes(lines[0] + lines[1][: len(lines[1]) // 2])
    model, calls = student.backbone.model, []
    generate = model.generate

    def counted(**given: Any) -> torch.Tensor:
        calls.append(given)
        found: torch.Tensor = generate(**given)
        return found

    monkeypatch.setattr(model, "generate", counted)
    assert generate_reasons(student, examples, options, 7, journal) == expected
    assert len(calls) == 2 and journal.read_bytes() == b"".join(lines)


def test_only_placeholders_are_replaced_by_vectors(parts: tuple[Student, list[Example]]) -> None:
    student, examples = parts
    batch = collate(examples, student.backbone.pad)
    with torch.no_grad():
        found = student.embed(batch)
        table = student.model.get_input_embeddings()
        assert student.projector is not None
        assert student.vectors is not None
        user, item = student.backbone.placeholders
        for row, example in enumerate(examples):
            items = iter(example.items)
            for place, token in enumerate(example.ids):
                if token == user:
                    expected = student.projector(student.vectors.user[[example.user]])[0]
                elif token == item:
                    expected = student.projector(student.vectors.item[[next(items)]])[0]
                else:
                    expected = table(torch.tensor(token))
                torch.testing.assert_close(found[row, place], expected)


def test_a_projector_starts_at_the_size_of_embeddings_and_comes_back_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Projector(6, 32, 3, size=2.5)
    vectors = torch.randn(50, 6) * 4 + 1
    vectors[7] = 0
    made.standardise(vectors)
    with torch.no_grad():
        found = made(vectors)
    assert 1.5 < float(found.norm(dim=1).mean()) < 3.5
    assert torch.equal(found[7], made.unknown)
    known = (vectors[vectors.any(1)] - made.mean) / made.spread
    torch.testing.assert_close(known.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    made.save(tmp_path)
    with torch.no_grad():
        assert torch.equal(Projector.load(tmp_path)(vectors), found)


@pytest.mark.parametrize("name", ["projector.safetensors", "config.json"])
@pytest.mark.parametrize("content", [None, b"{}"])
def test_a_projector_that_cannot_be_read_says_so(tmp_path: Path, name: str, content: bytes | None) -> None:
    Projector(4, 8, 2).save(tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"^projector .* can't be read: .*; train it again$"):
        Projector.load(tmp_path)


def test_a_projector_of_another_width_is_refused(tmp_path: Path) -> None:
    Projector(4, 8, 2).save(tmp_path)
    (tmp_path / "config.json").write_text('{"width": 5, "hidden": 8, "expansion": 2}')
    with pytest.raises(ModelError, match="can't be read"):
        Projector.load(tmp_path)

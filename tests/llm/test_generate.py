"""Reasons in words, and the projector."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_chain import Chain
from transformers import GenerationConfig

from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.llm.backbone import load_backbone
from thinkrec.llm.batches import Example, by_length, collate
from thinkrec.llm.examples import score_examples_of
from thinkrec.llm.generate import generate_reasons
from thinkrec.llm.projector import Projector
from thinkrec.llm.scorer import Asked, score_examples
from thinkrec.llm.shown import quoted
from thinkrec.llm.student import Student
from thinkrec.prompts.render import PromptWriter
from thinkrec.stages.evaluate import give_reasons, scored_rows
from thinkrec.systems import language
from thinkrec.systems.fusion import load_fusion, load_student
from thinkrec.systems.language import LanguageModel
from thinkrec.systems.project import Project
from thinkrec.wanted import UnwantedError, while_wanted


@pytest.fixture(scope="module")
def parts(chain: Chain) -> tuple[Student, list[Example]]:
    """The trained student, and prompts of different lengths."""
    layout, params = chain.layout, chain.params
    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.gate)
    data = Interactions.load(layout.interactions)
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, vectors=True)
    examples = score_examples_of(writer, data, data.rows("test")[:9])
    asked = Asked.of_rows(examples)
    return load_student(
        layout, loaded, fusion, "thinkrec", asked, "yes_minus_no", chain.params.prompt
    ), examples


def test_reasons_come_from_the_seed(chain: Chain, parts: tuple[Student, list[Example]]) -> None:
    first = generate_reasons(*parts, chain.params.evaluate, 7)
    assert first == generate_reasons(*parts, chain.params.evaluate, 7)
    assert first != generate_reasons(*parts, chain.params.evaluate, 8)
    assert len(first) == 9
    assert all(reason == " ".join(reason.split()) for reason in first)
    assert not any("<|" in reason for reason in first)


@pytest.mark.parametrize("size", [9, 4, 1])
def test_the_first_word_is_the_side_of_the_logits_that_make_the_score(
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
    options = chain.params.evaluate.model_copy(update={"max_reason_tokens": 1, "batch_size": size})
    said = generate_reasons(student, examples, options, 7)
    order = np.concatenate(list(by_length(examples, size)))
    scored = score_examples(student, student.backbone, examples, 3, "yes_minus_no")
    np.testing.assert_allclose(torch.cat(seen).numpy(), scored[order], rtol=0, atol=1e-4)
    assert said == ["Yes" if score > 0 else "No" for score in scored]


def test_a_verdict_can_be_given(chain: Chain, parts: tuple[Student, list[Example]]) -> None:
    student, examples = parts
    options = chain.params.evaluate.model_copy(update={"max_reason_tokens": 12, "batch_size": 4})
    sides = [k % 3 == 0 for k in range(len(examples))]
    said = generate_reasons(student, examples, options, 7, sides=sides)
    assert [text.startswith("Yes") for text in said] == sides
    assert [text.startswith("No") for text in said] == [not side for side in sides]


def test_a_reason_quotes_what_its_prompt_shows(chain: Chain, parts: tuple[Student, list[Example]]) -> None:
    student, examples = parts
    tokenizer = student.backbone.tokenizer
    options = chain.params.evaluate.model_copy(update={"max_reason_tokens": 200, "temperature": 2.0})
    quotes = 0
    for example, text in zip(examples, generate_reasons(student, examples, options, 7), strict=True):
        shown = quoted(tokenizer.decode(example.ids))
        pieces = text.split('"')
        titles = pieces[1 : len(pieces) - 1 : 2]  # closed ones
        assert shown and {title.encode() for title in titles} <= set(shown)
        quotes += len(titles)
    assert quotes, "no reason has a quote: the test proves nothing"


@pytest.mark.parametrize("verdicts", ["before", "after"])
@pytest.mark.parametrize("vectors", [True, False])
def test_a_quote_knows_the_labels_that_its_prompt_shows(
    chain: Chain, parts: tuple[Student, list[Example]], verdicts: str, vectors: bool
) -> None:
    tokenizer = parts[0].backbone.tokenizer
    prompt = chain.params.prompt.model_copy(update={"verdicts": verdicts})
    writer = PromptWriter.load(chain.layout, tokenizer, prompt, vectors=vectors)
    history = [writer.line(item, liked=item % 3 == 0) for item in range(1, 13)]
    ids = tokenizer(writer.text(history, writer.line(13)), add_special_tokens=False)["input_ids"]
    turns = writer.interaction_ids(data := Interactions.load(chain.layout.interactions), range(12))
    shown = quoted(tokenizer.decode(ids))
    assert {title.decode(): of.liked for title, of in shown.items()} == {
        **{line.title: {line.liked} for line in history},
        writer.line(13).title: {None},
    }
    timeline = quoted("".join(tokenizer.decode(turn) for turn in turns.values()))
    for row in range(12):
        title = writer.line(data.item_id[row]).title.encode()
        assert bool(data.label[row]) in timeline[title].liked


def test_a_generation_that_was_cut_off_goes_on_to_the_same_texts(
    chain: Chain, parts: tuple[Student, list[Example]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after two of three batches, in the middle of the third's line; one line is damaged."""
    student, examples = parts
    options = chain.params.evaluate.model_copy(update={"batch_size": 3})
    expected = generate_reasons(student, examples, options, 7)
    journal = tmp_path / "work" / "reasons.jsonl"
    assert generate_reasons(student, examples, options, 7, journal) == expected
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    damaged = lines[0].replace(b'", "', b'", "x', 1)  # as if by hand
    assert damaged != lines[0]
    journal.write_bytes(lines[1] + damaged + b"garbage\n[]\n" + lines[2][: len(lines[2]) // 2])
    model, calls = student.backbone.model, []
    generate = model.generate

    def counted(**given: Any) -> torch.Tensor:
        calls.append(given)
        found: torch.Tensor = generate(**given)
        return found

    monkeypatch.setattr(model, "generate", counted)
    assert generate_reasons(student, examples, options, 7, journal) == expected
    assert len(calls) == 2 and sorted(journal.read_bytes().splitlines(keepends=True)) == sorted(
        [*lines, damaged, b"garbage\n", b"[]\n"]
    )


@pytest.mark.parametrize("work", ["reasons", "scores"])
def test_work_that_nobody_waits_for_any_more_ends(
    chain: Chain, parts: tuple[Student, list[Example]], work: str
) -> None:
    student, examples = parts
    asked: list[int] = []

    def wanted() -> bool:
        asked.append(len(asked))
        return len(asked) < 3

    def run() -> object:
        if work == "reasons":
            options = chain.params.evaluate.model_copy(update={"max_reason_tokens": 12})
            return generate_reasons(student, examples, options, 7)
        return score_examples(student, student.backbone, examples, 1, "yes_minus_no").tolist()

    expected = run()
    with pytest.raises(UnwantedError, match="nobody waits"), while_wanted(wanted):
        run()
    assert len(asked) == 3  # at the third token or batch
    assert run() == expected


FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


def limit(monkeypatch: pytest.MonkeyPatch, student: Student, most: int) -> list[int]:
    """Let generation run out of memory above so many rows; the list fills with the rows of each call."""
    generate, sizes = student.backbone.model.generate, []

    def limited(**given: Any) -> torch.Tensor:
        sizes.append(len(given["input_ids"]))
        if sizes[-1] > most:
            raise RuntimeError(FULL)
        found: torch.Tensor = generate(**given)
        return found

    monkeypatch.setattr(student.backbone.model, "generate", limited)
    return sizes


def test_out_of_memory_halves_the_batch_and_spares_the_others(
    chain: Chain, parts: tuple[Student, list[Example]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Memory for three rows at a time, four are asked for; then memory for all."""
    student, examples = parts
    options = chain.params.evaluate.model_copy(update={"batch_size": 4})
    expected, order = generate_reasons(student, examples, options, 7), list(by_length(examples, 4))
    journal = tmp_path / "reasons.jsonl"
    with monkeypatch.context() as patch:
        sizes = limit(patch, student, 3)
        found = generate_reasons(student, examples, options, 7, journal)
    assert sizes == [4, 2, 2, 4, 2, 2, 1]
    assert caplog.text.count("out of memory with 4 rows of a batch: half as many") == 2
    assert all(found) and found[order[2][0]] == expected[order[2][0]]  # the one row for which there was room
    assert len(set(found)) > 4  # halves do not draw the same numbers
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 3
    with monkeypatch.context() as patch:
        limit(patch, student, 3)
        assert generate_reasons(student, examples, options, 7) == found
    journal.write_text(lines[0])
    again = generate_reasons(student, examples, options, 7, journal)
    assert [again[k] for k in order[0]] == [found[k] for k in order[0]]
    assert [again[k] for k in (*order[1], *order[2])] == [expected[k] for k in (*order[1], *order[2])]


def test_a_row_for_which_memory_does_not_suffice_says_what_to_lower(
    chain: Chain, parts: tuple[Student, list[Example]], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, parts[0], 0)
    longest = max(len(example.ids) for example in parts[1])
    words = (
        rf"^out of memory with a single row of {longest} tokens, .* lower prompt.history_length, prompt.key"
    )
    with pytest.raises(ModelError, match=words):
        generate_reasons(*parts, chain.params.evaluate, 7)


@pytest.mark.parametrize("pad", [True, False], ids=["pad token", "end token pads"])
def test_penalties_look_at_the_answer_alone(
    chain: Chain, parts: tuple[Student, list[Example]], monkeypatch: pytest.MonkeyPatch, pad: bool,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    student, examples = parts
    options = chain.params.evaluate.model_copy(
        update={"repetition_penalty": 3.0, "no_repeat_ngram_size": 1, "temperature": 2.0, "batch_size": 5}
    )
    expected = generate_reasons(student, examples, options, 7)
    model, tokenizer = student.backbone.model, student.backbone.tokenizer
    if not pad:
        request.addfinalizer(partial(setattr, tokenizer, "pad_token", tokenizer.pad_token))
        tokenizer.pad_token = None
        assert student.backbone.pad == tokenizer.eos_token_id
    generate, seen = model.generate, []

    def watched(**given: Any) -> torch.Tensor:
        found = generate(**given, output_logits=True, output_scores=True, return_dict_in_generate=True)
        assert (torch.isfinite(found.scores[0]).sum(1) == 1).all()  # the verdict is not drawn
        seen.extend(found.sequences[:, given["input_ids"].shape[1] :].tolist())
        sequences: torch.Tensor = found.sequences
        return sequences

    monkeypatch.setattr(model, "generate", watched)
    assert generate_reasons(student, examples, options, 7) == expected
    end = tokenizer.eos_token_id
    said = [ids[: ids.index(end)] if end in ids else ids for ids in seen]
    assert max(map(len, said)) > 5
    assert all(len(set(ids)) == len(ids) for ids in said)  # the answer's own tokens do count


@pytest.mark.parametrize(
    "theirs",
    [{"top_p": 0.01}, {"min_p": 0.9}, {"typical_p": 0.01}, {"suppress_tokens": list(range(100, 900))},
     {"repetition_penalty": 5.0}, {"no_repeat_ngram_size": 1}],
    ids=lambda theirs: next(iter(theirs)),
)  # fmt: skip
def test_the_backbones_own_settings_do_not_count(
    chain: Chain,
    parts: tuple[Student, list[Example]],
    monkeypatch: pytest.MonkeyPatch,
    theirs: dict[str, Any],
) -> None:
    student, examples = parts
    options = chain.params.evaluate.model_copy(update={"temperature": 1.5})
    expected = generate_reasons(student, examples, options, 7)
    settings = GenerationConfig(do_sample=True, **theirs)
    monkeypatch.setattr(student.backbone.model, "generation_config", settings)
    assert generate_reasons(student, examples, options, 7) == expected
    assert student.backbone.model.generation_config is settings


def test_reasons_of_other_vectors_are_another_journal(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, params = chain.copy(tmp_path), chain.params
    journals: list[Path] = []

    def noted(student: Student, rows: list[Example], *rest: Any) -> list[str]:
        journals.append(rest[2])
        return ["Yes. It fits."] * len(rows)

    monkeypatch.setattr(language, "generate_reasons", noted)
    encoder = layout.encoder(params.cluster.encoder)
    for factor in (1.0, 1.0, 1.5):
        for path in encoder.glob("*.safetensors"):
            save_file({name: each * factor for name, each in load_file(path).items()}, path)
        project = Project(layout, params)
        scores = np.zeros(len(scored_rows(project.data)))
        give_reasons(project, LanguageModel(project, "thinkrec"), scores, 7)
    assert journals[0] == journals[1] != journals[2]


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


def test_a_projector_starts_near_an_embedding_and_comes_back_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made, start = Projector(6, 32, 3), 3 * torch.randn(32)
    made.start_near(start)
    vectors = torch.randn(50, 6) * 4 + 1
    vectors[7] = 0
    made.standardise(vectors)
    with torch.no_grad():
        found = made(vectors)
    moved = (found - start).norm(dim=1) / start.norm()
    assert 0.05 < float(moved[vectors.any(1)].mean()) < 0.2
    assert torch.equal(found[7], made.unknown) and torch.equal(found[7], start)
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

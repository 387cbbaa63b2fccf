"""Prompts whose verdicts follow the items, and training on every verdict that they show."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from architectures import load_family
from hypothesis import given
from hypothesis import strategies as st
from small_chain import Chain

from thinkrec.config.sections import JointLoss, Params, Prompt, Training
from thinkrec.data.tables import Interactions, Items
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.batches import collate, rows_per_batch, silent, targets_of
from thinkrec.llm.examples import (
    Rationales,
    recommendation_examples,
    score_examples_of,
    tiles,
    training_samples,
    with_history,
)
from thinkrec.prompts.render import PromptWriter

ITEMS = Items(["", "Tide", "Anchor", "Comet"], [[], ["sea", "harbour", "gull"], [], ["space"]])
AFTER = Prompt(verdicts="after", history_length=4, keywords=2)
LOSS = JointLoss()


@pytest.fixture(scope="module")
def loaded(chain: Chain) -> Backbone:
    return load_backbone(chain.layout.backbone)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A backbone whose tokenizer writes Yes after a space as one token."""
    return load_family(tmp_path_factory.mktemp("words"), "mistral")


@pytest.fixture(scope="module")
def tables(chain: Chain) -> tuple[Interactions, Items]:
    layout = chain.layout
    return Interactions.load(layout.interactions), Items.load(layout.items, layout.keywords)


def test_a_prompt(loaded: Backbone) -> None:
    writer = PromptWriter(ITEMS, AFTER, loaded.tokenizer)
    assert writer.text([writer.line(1, True), writer.line(2, False)], writer.line(3)) == (
        "<|im_start|>user\n"
        "Items, oldest first, and whether the user liked them:\n"
        '"Tide" (sea, harbour): Yes\n'
        '"Anchor": No\n'
        "Will the user like the next item? Answer Yes or No, then explain why.<|im_end|>\n"
        "<|im_start|>assistant\n"
        '"Comet" (space):'
    )


def test_a_prompt_without_labels(loaded: Backbone) -> None:
    writer = PromptWriter(ITEMS, AFTER, loaded.tokenizer)
    assert '"Tide" (sea, harbour)\nWill' in writer.text([writer.line(1, None)], writer.line(3))


def test_a_timeline_says_the_same(loaded: Backbone, tables: tuple[Interactions, Items]) -> None:
    data, items = tables
    writer = PromptWriter(items, AFTER, loaded.tokenizer)
    row = int(data.rows("test")[3])
    past = data.history(row, 4, "rolling")
    shown = [loaded.tokenizer.decode(ids) for ids in writer.interaction_ids(data, past.tolist()).values()]
    (prompt,) = writer.texts(data, np.array([row]))
    assert "".join(shown) in prompt
    (question,) = writer.question_ids([int(data.item_id[row])]).values()
    assert loaded.tokenizer.decode(question).split("assistant\n")[1] == prompt.split("assistant\n")[1]


@pytest.mark.parametrize("vectors", [False, True])
def test_ids_are_those_of_the_whole_text(
    words: Backbone, tables: tuple[Interactions, Items], vectors: bool
) -> None:
    data, items = tables
    writer = PromptWriter(items, AFTER, words.tokenizer, vectors)
    for found in writer.encode(data, data.rows("test")[:30]):
        assert words.tokenizer(found.text, add_special_tokens=False)["input_ids"] == found.ids
        answered = [f"{found.text} {word}" for word in ("Yes", "No")]
        ids = words.tokenizer(answered, add_special_tokens=False)["input_ids"]
        assert ids == [[*found.ids, token] for token in writer.answers]


def test_every_verdict_of_the_history_is_a_target(
    words: Backbone, tables: tuple[Interactions, Items]
) -> None:
    data, items = tables
    writer = PromptWriter(items, AFTER, words.tokenizer)
    rows = data.rows("train")[::5]
    for example in with_history(writer, data, recommendation_examples(writer, data, rows, LOSS), LOSS):
        *past, own = targets_of(example)
        wanted = data.history(example.row, 4)
        assert [target.row for target in past] == wanted.tolist() and own.row == example.row
        assert [target.label for target in past] == data.label[wanted].tolist()
        for target in past:
            read = words.tokenizer.decode(example.ids[: target.at + 1])
            assert read.endswith(":") and items.title[data.item_id[target.row]] in read.rsplit("\n", 1)[1]
            assert target.answer == [writer.answers[0 if target.label else 1]]
            assert example.ids[target.at + 1] == target.answer[0]
        assert all(target.bce == target.ce == 0 for target in targets_of(silent(example)))


def test_a_batch_reads_each_verdict_at_its_place(words: Backbone, tables: tuple[Interactions, Items]) -> None:
    data, items = tables
    writer = PromptWriter(items, AFTER, words.tokenizer)
    plain = recommendation_examples(writer, data, data.rows("train")[20:24], LOSS)
    batch = collate(with_history(writer, data, plain, LOSS), words.pad)
    assert len(batch.label) == sum(1 + len(data.history(each.row, 4)) for each in plain)
    answers = batch.ids[batch.line, batch.at + 1]
    assert (answers == batch.answer).all()
    assert ((answers == writer.answers[0]) == batch.label.bool()).all()


def test_a_shortened_prompt_keeps_the_latest(words: Backbone, tables: tuple[Interactions, Items]) -> None:
    data, items = tables
    whole = PromptWriter(items, AFTER, words.tokenizer)
    row = next(row for row in data.rows("train").tolist() if len(data.history(row, 4)) == 4)
    length = len(whole.encode(data, np.array([row]))[0].ids)
    writer = PromptWriter(items, AFTER.model_copy(update={"max_tokens": length - 1}), words.tokenizer)
    plain = recommendation_examples(writer, data, np.array([row]), LOSS)
    (example,) = with_history(writer, data, plain, LOSS)
    assert [target.row for target in example.past] == data.history(row, 4)[1:].tolist()


def interactions(counts: list[int]) -> Interactions:
    user = np.repeat(np.arange(1, len(counts) + 1), counts)
    size = len(user)
    position = np.concatenate([np.arange(count) for count in counts]) if counts else np.empty(0, np.int64)
    one = np.ones(size, dtype=np.int64)
    return Interactions(user, one, one, np.arange(size), position, np.zeros(size, np.int8), one > 0)


@given(st.lists(st.integers(1, 30), max_size=6), st.integers(1, 9), st.integers(0, 5))
def test_tiles_hardly_overlap_and_leave_little_out(counts: list[int], length: int, seed: int) -> None:
    data = interactions(counts)
    rows = np.arange(len(data))
    found = tiles(data, rows, length, np.random.default_rng(seed))
    assert len(set(found.tolist())) == len(found)
    for user, count in enumerate(counts, 1):
        own = data.position[found[data.user_id[found] == user]].tolist()
        assert own and all(later - earlier == length + 1 for earlier, later in pairwise(own))
        shown = {place for last in own for place in range(max(last - length, 0), last + 1)}
        assert len(shown) >= min(count, length + 1)
        if count <= length + 1:
            assert own == [count - 1] and shown == set(range(count))


def test_training_reads_prompts_that_hardly_overlap(
    words: Backbone, tables: tuple[Interactions, Items]
) -> None:
    data, items = tables
    writer, rows = PromptWriter(items, AFTER, words.tokenizer), data.rows("train")
    reasons = Rationales(rows[:3], [f"{'Yes' if data.label[row] else 'No'}. A reason." for row in rows[:3]])
    training = Training(history=True, epochs=1)
    found = training_samples(writer, data, rows, reasons, LOSS, training, 7)
    told = [each for each in found if len(targets_of(each)[-1].answer) > 1]
    shown = [target.row for each in found if each not in told for target in targets_of(each)]
    assert len(set(shown)) > 0.8 * len(rows) and len(shown) < 1.3 * len(rows)
    mean = len(shown) / (len(found) - len(told))
    assert [len(targets_of(each)) for each in told] == [1 + len(data.history(each.row, 4)) for each in told]
    assert targets_of(told[0])[-1].ce == pytest.approx(mean * LOSS.reasoning_ce, rel=0.2)


def test_scored_prompts_have_one_target(words: Backbone, tables: tuple[Interactions, Items]) -> None:
    data, items = tables
    writer = PromptWriter(items, AFTER, words.tokenizer)
    assert all(len(targets_of(each)) == 1 for each in score_examples_of(writer, data, data.rows("test")[:9]))


def test_no_verdict_of_valid_or_test_is_learned(words: Backbone, tables: tuple[Interactions, Items]) -> None:
    """Where a split is random, the histories of train's rows have rows of the others."""
    data, items = tables
    split = np.random.default_rng(3).choice(3, len(data), p=[0.6, 0.2, 0.2]).astype(np.int8)
    data = replace(data, split=split)
    rows = data.rows("train")
    writer = PromptWriter(items, AFTER, words.tokenizer, protocol="rolling")
    reasons = Rationales(rows[:3], [f"{'Yes' if data.label[row] else 'No'}. A reason." for row in rows[:3]])
    shown = {int(each) for row in rows.tolist() for each in writer.history(data, row)}
    assert shown & set(data.rows("test").tolist())
    found = training_samples(writer, data, rows, reasons, LOSS, Training(history=True, epochs=1), 7)
    taught = {target.row for each in found for target in targets_of(each)}
    assert taught and taught <= set(rows.tolist())


@pytest.mark.parametrize("change", [{"history_items": "liked"}, {"history_labels": False}])
def test_parts_of_a_history_teach_no_verdicts(
    words: Backbone, tables: tuple[Interactions, Items], change: dict[str, Any]
) -> None:
    data, items = tables
    writer, rows = PromptWriter(items, AFTER.model_copy(update=change), words.tokenizer), data.rows("train")
    none = Rationales(np.empty(0, dtype=np.int64), [])
    loss = LOSS.model_copy(update={"reasoning_share": 0.0})
    found = training_samples(writer, data, rows, none, loss, Training(history=True, epochs=1), 7)
    assert sorted(each.row for each in found) == rows.tolist()
    assert all(len(targets_of(each)) == 1 for each in found)


@pytest.mark.parametrize("name", ["tallrec", "collm", "thinkrec-no-labels"])
def test_variants_with_parts_of_a_history_take_many_small_passes(name: str) -> None:
    params = Params().of_variant(name)
    for training in (params.global_, params.experts, params.projector):
        assert (training.history, training.batch_size, training.gradient_accumulation) == (False, 2, 8)
    other = Params().of_variant("thinkrec-no-think")
    assert other.global_ == Params().global_


def test_steps_mix_both_kinds(words: Backbone, tables: tuple[Interactions, Items]) -> None:
    """Rows of like length are put together in steps of the size that training takes, not in larger blocks."""
    data, items = tables
    writer, rows = PromptWriter(items, AFTER, words.tokenizer), data.rows("train")
    some = rows[::4]
    reasons = Rationales(some, [f"{'Yes' if data.label[row] else 'No'}. A reason." for row in some])
    training = Training(history=True, epochs=1, batch_size=10)
    found = training_samples(writer, data, rows, reasons, LOSS, training, 7)
    size = rows_per_batch(training, found)
    assert 1 < size < 4
    kinds = [len(targets_of(each)[-1].answer) > 1 for each in found]
    runs = [len(list(run)) for _, run in groupby(kinds)]
    assert max(runs) < len(found) / 4 and len(runs) > len(found) / (4 * size)

"""Training samples: what they are made of, and in which proportion they are read."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from architectures import prompts
from hypothesis import given, settings
from hypothesis import strategies as st
from small_chain import Chain

from thinkrec.config.sections import JointLoss, Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ModelError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Example, by_length, collate
from thinkrec.llm.examples import Rationales, mixture, reasoning_examples, recommendation_examples
from thinkrec.prompts.render import PromptWriter

RECOMMENDATION = [Example([0] * (1 + k % 40), 1, k % 2, row=k) for k in range(4000)]
REASONING = [Example([0] * (50 + k % 30), 1, k % 2, ce=0.9, bce=0.1, row=10_000 + k) for k in range(300)]


def rows(samples: list[Example], reasoning: bool) -> Counter[int]:
    return Counter(sample.row for sample in samples if (sample.row >= 10_000) == reasoning)


def test_a_fifth_of_the_places_are_reasoning_samples() -> None:
    found = mixture(RECOMMENDATION, REASONING, 0.2, 2.0, 32, 7)
    assert len(found) == 10_000
    share = rows(found, True).total() / len(found)
    assert share == pytest.approx(0.2, abs=0.012)  # three standard deviations
    windows = [rows(found[k : k + 1600], True).total() / 1600 for k in range(0, 9600, 1600)]
    assert max(windows) - min(windows) < 0.08  # and so all along, not in one stretch


@pytest.mark.parametrize("epochs", [0.5, 1.0, 3.0])
def test_every_row_is_seen_equally_often(epochs: float) -> None:
    found = mixture(RECOMMENDATION, REASONING, 0.2, epochs, 32, 7)
    seen = rows(found, False)
    assert seen.total() == pytest.approx(epochs * 4000, rel=0.05)
    counts = [seen[row] for row in range(4000)]
    assert max(counts) - min(counts) <= 1
    assert set(rows(found, True)) == {10_000 + k for k in range(300)} or epochs < 1


def test_without_reasoning_every_row_is_seen_exactly_as_often_as_there_are_epochs() -> None:
    for share, reasoning in ((0.0, REASONING), (0.2, [])):
        found = mixture(RECOMMENDATION, reasoning, share, 2.0, 32, 7)
        assert set(rows(found, False).values()) == {2}
        assert len(found) == 8000


def test_a_share_of_one_is_all_reasoning() -> None:
    found = mixture(RECOMMENDATION, REASONING, 1.0, 2.0, 32, 7)
    assert rows(found, True) == Counter({10_000 + k: 2 for k in range(300)})
    assert not rows(found, False)


def test_the_order_comes_from_the_seed() -> None:
    first = mixture(RECOMMENDATION, REASONING, 0.2, 1.0, 32, 7)
    assert mixture(RECOMMENDATION, REASONING, 0.2, 1.0, 32, 7) == first
    assert mixture(RECOMMENDATION, REASONING, 0.2, 1.0, 32, 8) != first


def test_rows_of_like_length_share_a_batch() -> None:
    found = mixture(RECOMMENDATION, [], 0.0, 1.0, 40, 7)
    lengths = np.array([len(sample.ids) for sample in found]).reshape(-1, 40)
    assert np.mean(lengths.max(1) - lengths.min(1)) < 3  # of 40


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 30),
    st.integers(0, 20),
    st.one_of(st.floats(0, 0.95), st.just(1.0)),
    st.floats(0.01, 3),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_any_mixture_reads_given_samples_only(
    count: int, reasons: int, share: float, epochs: float, batch_size: int, seed: int
) -> None:
    found = mixture(RECOMMENDATION[:count], REASONING[:reasons], share, epochs, batch_size, seed)
    assert found
    assert {sample.row for sample in found} <= {*range(count), *(10_000 + k for k in range(reasons))}


def test_recommendation_samples_answer_with_one_token(
    loaded: Backbone, items: Items, data: Interactions
) -> None:
    writer = PromptWriter(items, Prompt(verdicts="before"), loaded.tokenizer)
    train = data.rows("train")[:20]
    for sample in recommendation_examples(writer, data, train, JointLoss()):
        assert sample.start == len(sample.ids) - 1
        assert sample.ids[-1] == loaded.answers[0 if data.label[sample.row] else 1]
        assert (sample.bce, sample.ce) == (0.9, 0.1)


def test_reasoning_samples_answer_with_the_rationale(
    chain: Chain, loaded: Backbone, items: Items, data: Interactions
) -> None:
    writer = PromptWriter(items, Prompt(verdicts="before"), loaded.tokenizer)
    rationales = Rationales.load(chain.layout, data, "train")
    assert len(rationales.rows) == 60
    samples = reasoning_examples(writer, data, rationales, JointLoss())
    for sample, text in zip(samples, rationales.texts, strict=True):
        assert sample.ids[-1] == loaded.tokenizer.eos_token_id
        assert sample.ids[sample.start] == loaded.answers[0 if data.label[sample.row] else 1]
        assert loaded.tokenizer.decode(sample.ids[sample.start : -1]) == text
        assert (sample.bce, sample.ce) == (0.1, 0.9)


def test_a_rationale_against_its_label_is_refused(loaded: Backbone, items: Items, data: Interactions) -> None:
    writer = PromptWriter(items, Prompt(verdicts="before"), loaded.tokenizer)
    row = int(data.rows("train")[data.label[data.rows("train")] == 1][0])
    with pytest.raises(ModelError) as error:
        reasoning_examples(writer, data, Rationales(np.array([row]), ["No. Too loud."]), JointLoss())
    assert str(error.value) == (
        f"the rationale of row {row} begins with 'No', against its label: run `thinkrec synthesize` again"
    )


def test_batches_are_padded_on_the_right_and_lose_nothing(
    loaded: Backbone, items: Items, data: Interactions
) -> None:
    examples = prompts(loaded, items, data, vectors=True)
    batch = collate(examples, loaded.pad)
    for row, example in enumerate(examples):
        assert batch.ids[row, : len(example.ids)].tolist() == example.ids
        assert set(batch.ids[row, len(example.ids) :].tolist()) <= {loaded.pad}
        assert int(batch.end[row]) == len(example.ids)
    assert batch.items.tolist() == [item for example in examples for item in example.items]
    order = np.concatenate(list(by_length(examples, 4)))
    assert sorted(order.tolist()) == list(range(len(examples)))
    lengths = [len(examples[k].ids) for k in order]
    assert lengths == sorted(lengths, reverse=True)

"""A marker planted in the future: an item that nobody met before, liked by everybody, last of all."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scoring import encoder_scores
from small_chain import Chain
from transformers import AutoTokenizer

from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS
from thinkrec.data.tables import Interactions, Items
from thinkrec.llm.backbone import prepare_tokenizer
from thinkrec.metrics.floors import floors
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import Protocol

TITLE = "Zyzzyva"


@pytest.fixture
def planted(chain: Chain) -> tuple[Interactions, int, np.ndarray]:
    """The chain's interactions with the marker as every user's last row, its item_id, and those rows."""
    data = Interactions.load(chain.layout.interactions)
    last = np.flatnonzero(np.diff(data.user_id, append=0) != 0)
    last = last[data.split[last] > 0]
    marker = int(data.item_id.max()) + 1
    item, label, when = data.item_id.copy(), data.label.copy(), data.timestamp.copy()
    item[last], label[last], when[last] = marker, 1, when.max() + 1
    return replace(data, item_id=item, label=label, timestamp=when), marker, last


@pytest.mark.parametrize("protocol", ["frozen", "rolling", "train"])
def test_in_no_history(planted: tuple[Interactions, int, np.ndarray], protocol: Protocol) -> None:
    data, marker, last = planted
    assert len(last) > 20
    index = data.histories(np.arange(len(data)), len(data), protocol)
    assert (index >= 0).sum() > 1000
    assert not np.isin(index, last).any()
    assert all(marker not in data.item_id[data.history(row, 10, protocol)] for row in range(len(data)))


def test_in_no_prompt_but_as_its_target(chain: Chain, planted: tuple[Interactions, int, np.ndarray]) -> None:
    data, marker, last = planted
    tokenizer = AutoTokenizer.from_pretrained(chain.params.backbone.model)
    prepare_tokenizer(tokenizer)
    items = Items.load(chain.layout.items, chain.layout.keywords)
    more = marker + 1 - len(items.title)
    items = Items([*items.title, *[TITLE] * more], [*items.keywords, *[[TITLE.lower()]] * more])
    writer = PromptWriter(items, chain.params.prompt, tokenizer)
    others = np.setdiff1d(np.arange(len(data)), last)
    texts = partial(map, lambda one: tokenizer.decode(one.ids))
    assert not any(TITLE in text for text in texts(writer.encode(data, others)))
    assert all(text.count(TITLE) == 1 for text in texts(writer.encode(data, last)))


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_in_no_training_example(planted: tuple[Interactions, int, np.ndarray], name: str) -> None:
    data, marker, _ = planted
    known = Known.of(data, data.users, marker)
    assert (
        known.item_index[marker] == 0 and known.items == len(np.unique(data.item_id[data.rows("train")])) + 1
    )
    model = ENCODERS[name](Shape(8), known, 1)
    examples = model.examples(data)
    assert not (examples.item[examples.in_loss] == marker).any() and not (examples.history == marker).any()
    assert int(examples.in_loss.sum()) == len(data.rows("train"))
    assert not torch.any(model.vectors(data)["item"][marker])


@pytest.mark.parametrize("name", ["mf", "lightgcn", "sasrec"])
def test_in_no_score_of_an_earlier_row(
    chain: Chain, planted: tuple[Interactions, int, np.ndarray], name: str
) -> None:
    data, _, last = planted
    before = Interactions.load(chain.layout.interactions)
    rows = np.setdiff1d(np.flatnonzero(data.split > 0), last)
    known = replace(data, item_id=np.where(np.isin(np.arange(len(data)), last), 1, data.item_id))
    ours, theirs = (encoder_scores(chain.layout.encoder(name), each, rows) for each in (before, known))
    assert np.array_equal(ours, theirs)


def test_in_no_floor(planted: tuple[Interactions, int, np.ndarray], chain: Chain) -> None:
    """Test labels move no floor; valid's choose the smoothing, which is said."""
    data, _, _ = planted
    rows = data.rows("test")
    turned = replace(data, label=np.where(data.split == 2, 1 - data.label, data.label))
    ours, theirs = floors(data, rows), floors(turned, rows)
    assert ours[1] == theirs[1]
    for name, found in ours[0].items():
        assert np.array_equal(found, theirs[0][name]), name

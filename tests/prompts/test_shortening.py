"""A prompt beyond prompt.max_tokens loses its oldest history, as little as will do, and fast."""

from __future__ import annotations

import time

import numpy as np
import pytest
from architectures import TEXTS
from small_chain import Chain
from small_llama import train_tokenizer

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ConfigError
from thinkrec.llm.backbone import load_backbone, prepare_tokenizer
from thinkrec.prompts.render import PromptWriter
from thinkrec.prompts.tokens import encode_texts


@pytest.mark.parametrize("vectors", [False, True])
def test_it_is_what_leaving_out_one_after_the_other_gives(chain: Chain, vectors: bool) -> None:
    layout = chain.layout
    data, items = Interactions.load(layout.interactions), Items.load(layout.items, layout.keywords)
    tokenizer = load_backbone(layout.backbone).tokenizer
    rows = data.rows("test")[::3]
    long = Prompt(history_length=25, keywords=2, max_tokens=10**6)
    whole = PromptWriter(items, long, tokenizer, vectors)
    each = [
        [
            encode_texts(tokenizer, whole.texts(data, rows[k : k + 1], None, np.array([less])))[0]
            for less in range(len(data.history(row, 25)) + 1)
        ]
        for k, row in enumerate(rows.tolist())
    ]
    least = max(len(one[-1]) for one in each)
    for most in (least, least + 1, least + 40, max(len(one[0]) for one in each) - 1):
        writer = PromptWriter(items, long.model_copy(update={"max_tokens": most}), tokenizer, vectors)
        for row, one, found in zip(rows.tolist(), each, writer.encode(data, rows), strict=True):
            less = next(less for less, ids in enumerate(one) if len(ids) <= most)
            assert found.ids == one[less]
            kept = data.history(row, 25)[less:]
            assert found.items == ([*data.item_id[kept].tolist(), data.item_id[row]] if vectors else [])
    most = least - 1
    writer = PromptWriter(items, long.model_copy(update={"max_tokens": most}), tokenizer, vectors)
    with pytest.raises(
        ConfigError,
        match=rf"^prompt.max_tokens \({most}\) is less than the {least} tokens of a prompt about",
    ):
        writer.encode(data, rows)


def of_one_user(size: int) -> Interactions:
    count = np.arange(size)
    return Interactions(
        np.ones(size, np.int64),
        count + 1,
        count % 2,
        count,
        count,
        np.zeros(size, np.int8),
        np.ones(size, bool),
    )


def test_a_history_of_thousands_takes_no_time() -> None:
    """It took 21 s, one row a round; here the bound is fifty times what it takes."""
    size = 2001
    tokenizer = train_tokenizer(TEXTS, 600)
    prepare_tokenizer(tokenizer)
    items = Items(["", *(f"The harbour {k}" for k in range(size))], [[]] * (size + 1))
    writer = PromptWriter(items, Prompt(history_length=2000, max_tokens=1024), tokenizer)
    start = time.perf_counter()
    [found] = writer.encode(of_one_user(size), np.array([size - 1]))
    assert time.perf_counter() - start < 5
    assert 1000 < len(found.ids) <= 1024


def test_a_title_of_megabytes_fits() -> None:
    """Its prompt had 2,000,107 tokens."""
    tokenizer = train_tokenizer(TEXTS, 600)
    prepare_tokenizer(tokenizer)
    items = Items(
        ["", "\U0001f300 " * 1_000_000, "x" * 2_000_000, "Tide"], [[], ["y" * 2_000_000] * 3, [], []]
    )
    writer = PromptWriter(items, Prompt(max_tokens=1024), tokenizer)
    found = writer.encode(of_one_user(3), np.arange(3))
    assert max(len(each.ids) for each in found) <= 1024

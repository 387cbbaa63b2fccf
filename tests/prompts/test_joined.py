"""Prompts that share a history are tokenised in parts, with the tokens of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from architectures import load_family
from small_chain import Chain

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.llm.backbone import load_backbone
from thinkrec.prompts.render import PromptWriter
from thinkrec.prompts.tokens import encode_joined, encode_texts
from thinkrec.protocols import Protocol


class Letters:
    """A tokenizer of letters that counts them; with `pairs`, of two letters at a time."""

    def __init__(self, pairs: bool) -> None:
        self.pairs, self.read = pairs, 0

    def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
        self.read += sum(map(len, texts))
        size = 2 if self.pairs else 1
        return {"input_ids": [[hash(t[k : k + size]) for k in range(0, len(t), size)] for t in texts]}


@pytest.mark.parametrize("pairs", [False, True])
def test_parts_are_used_only_where_they_give_the_tokens_of_the_whole(pairs: bool) -> None:
    texts = [("a" * 101, f"b{number}") for number in range(60)]
    tokenizer: Any = Letters(pairs)
    found = encode_joined(tokenizer, texts)
    read = tokenizer.read
    assert found == encode_texts(tokenizer, ["".join(text) for text in texts])
    whole = tokenizer.read - read
    assert (read > whole) if pairs else (read < whole / 3)
    assert encode_joined(tokenizer, []) == []


@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral"])
@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
@pytest.mark.parametrize("most", [1024, 140])
def test_prompts_have_the_text_and_tokens_of_each_alone(
    chain: Chain, tmp_path: Path, name: str, protocol: Protocol, most: int
) -> None:
    layout = chain.layout
    loaded = load_backbone(layout.backbone) if name == "llama" else load_family(tmp_path, name)
    data, items = Interactions.load(layout.interactions), Items.load(layout.items, layout.keywords)
    prompt, rows = Prompt(history_length=6, keywords=3, max_tokens=most), data.rows("test")
    for vectors in (False, True):
        writer = PromptWriter(items, prompt, loaded.tokenizer, vectors, protocol)
        found = writer.encode(data, rows)
        assert [each.ids for each in found] == encode_texts(loaded.tokenizer, [each.text for each in found])
        for row, each in zip(rows.tolist(), found, strict=True):
            past = data.history(row, 6, protocol)
            lines = [writer.line(int(data.item_id[k]), bool(data.label[k])) for k in past]
            target = writer.line(int(data.item_id[row]))
            kept = range(len(lines) + 1) if most < 1024 else [0]
            assert each.text in [writer.text(lines[less:], target) for less in kept]
            assert len(each.ids) <= most

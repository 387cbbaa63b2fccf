"""Prompts, rendered again with the target's label and all later rows spoiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.audit.check import Check, fault, judged
from thinkrec.audit.interactions import first_row
from thinkrec.audit.spoil import one_per_user, spoiled_after
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items, Split
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.backbone import check_source
from thinkrec.llm.batches import Packed, Target
from thinkrec.llm.timeline import Question, TimelineWriter
from thinkrec.prompts.render import PromptWriter


def check_prompts(layout: Layout, data: Interactions, prompt: Prompt, seed: int) -> list[Check]:
    """Render one prompt per user and split, drawn by `seed`, with the true and with a spoiled future.

    In the timeline layout, what a question attends to among the user's other questions must equal what it
    attends to alone, with a spoiled future.

    Raises:
        ModelError: the backbone's tokenizer can't be loaded.
    """
    facts = read_json(layout.backbone / "backbone.json")
    tiny = facts["model"] == "tiny"
    source = (str(layout.backbone), None) if tiny else (facts["model"], facts["revision"])
    items = Items.load(layout.items, layout.keywords)
    writer = PromptWriter(items, prompt, check_source(*source), vectors=True)
    wrong, count = [], 0
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        rows = one_per_user(data, data.rows(split), seed)
        spoiled = spoiled_after(data, rows)
        if prompt.layout == "prompt":
            ours: list[Any] = [*writer.encode(data, rows)]
            theirs: list[Any] = [*writer.encode(spoiled, rows)]
        else:
            packed = _visible(TimelineWriter(writer, data), data.rows(split))
            alone = _visible(TimelineWriter(writer, spoiled, most_tokens=1), rows)
            ours, theirs = ([seen[row] for row in rows.tolist()] for seen in (packed, alone))
        wrong += [row for row, one, other in zip(rows.tolist(), ours, theirs, strict=True) if one != other]
        count += len(rows)
    faults = fault(len(wrong), "prompts change with what follows their row", first_row(data, np.array(wrong)))
    summary = (
        f"{count:,} prompts, one a user and split: the same tokens with label and all later rows spoiled"
    )
    return [judged("prompts", f"of what precedes the row ({prompt.history})", faults, summary, prompts=count)]


def _visible(writer: TimelineWriter, rows: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """List the tokens that each row's question attends to (-1 - item for a vector), with distances."""
    visible: dict[int, list[tuple[int, int]]] = {}
    for _, laid in writer.rows([Question(row) for row in rows.tolist()]):
        items = iter(laid.items)
        codes = [-1 - next(items) if token == writer.item_token else token for token in laid.ids]
        visible |= {target.row: _visible_tokens(laid, codes, target) for target in laid.targets}
    return visible


def _visible_tokens(laid: Packed, codes: list[int], target: Target) -> list[tuple[int, int]]:
    at = target.at
    return [
        (codes[k], laid.position[at] - laid.position[k])
        for k in range(at + 1)
        if laid.block[k] == laid.block[at] or (laid.shared[k] and laid.block[k] >= laid.reach[at])
    ]

"""Prompts, written again where the target's label and all that follows it say something else."""

from __future__ import annotations

import numpy as np

from thinkrec.audit.check import Check, judged, some
from thinkrec.audit.interactions import place
from thinkrec.audit.spoil import one_each, spoiled_after
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items, Split
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.backbone import check_source
from thinkrec.prompts.render import PromptWriter


def check_prompts(layout: Layout, data: Interactions, prompt: Prompt, seed: int) -> list[Check]:
    """Write the prompt of one row of each user and split, drawn by `seed`, with and without its future.

    Raises:
        ModelError: the backbone's tokenizer can't be loaded.
    """
    facts = read_json(layout.backbone / "backbone.json")
    own = facts["model"] == "tiny"
    source = (str(layout.backbone), None) if own else (facts["model"], facts["revision"])
    items = Items.load(layout.items, layout.keywords)
    writer = PromptWriter(items, prompt, check_source(*source), vectors=True)
    wrong, count = [], 0
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        rows = one_each(data, data.rows(split), seed)
        ours, theirs = writer.encode(data, rows), writer.encode(spoiled_after(data, rows), rows)
        wrong += [row for row, one, other in zip(rows.tolist(), ours, theirs, strict=True) if one != other]
        count += len(rows)
    faults = some(len(wrong), "prompts change with what follows their row", place(data, np.array(wrong)))
    said = f"{count:,} prompts, one a user and split: the same tokens with label and all later rows spoiled"
    return [judged("prompts", f"of what lies before the row ({prompt.history})", faults, said, prompts=count)]

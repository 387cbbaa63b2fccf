"""Stage backbone: make the tiny backbone, or check and note another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.config.sections import Backbone, Prompt
from thinkrec.data.tables import Items
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout


def make_backbone(layout: Layout, backbone: Backbone, prompt: Prompt, seed: int) -> dict[str, Any]:
    """Fill models/D/backbone: backbone.json and, for `tiny`, weights and tokenizer.

    Returns:
        Facts: the model's name and, for `tiny`, its size and the loss of its answers.

    Raises:
        ModelError: another backbone can't be loaded or used.
    """
    from thinkrec.demo.tiny import make_tiny
    from thinkrec.llm.backbone import check_source, load_backbone

    facts: dict[str, Any] = {"model": backbone.model}
    with whole(layout.backbone) as folder:
        folder.mkdir(parents=True)
        if backbone.model == "tiny":
            items = Items.load(layout.items, layout.keywords)
            table = pq.read_table(layout.items, columns=["item_id", "description"]).sort_by("item_id")
            descriptions = [text or "" for text in table["description"].to_pylist()]
            losses = make_tiny(folder, items, descriptions, prompt, backbone.tiny, seed)
            tail = max(len(losses) // 10, 1)
            facts |= {"steps": len(losses), "answer_loss_last_tenth": round(float(np.mean(losses[-tail:])), 4)}
        else:
            check_source(backbone.model, backbone.revision)
        noted = {"model": backbone.model, "revision": backbone.revision, "dtype": backbone.dtype}
        write_json(folder / "backbone.json", noted)
    if backbone.model == "tiny":
        facts["parameters"] = load_backbone(layout.backbone).model.num_parameters()
    return facts

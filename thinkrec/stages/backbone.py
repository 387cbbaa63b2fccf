"""Stage backbone: make the tiny backbone, or check and note another one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.config.sections import Backbone, Params, Prompt
from thinkrec.data.tables import Items
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout
from thinkrec.teachers.protocol import Case, Rated
from thinkrec.teachers.reflect import reason_with
from thinkrec.teachers.template import TemplateTeacher
from thinkrec.teachers.views import item_views

if TYPE_CHECKING:
    from thinkrec.demo.tiny import Explain
    from thinkrec.demo.virtual import Timeline


def _explainer(items: Items, prompt: Prompt, seed: int) -> Explain:
    """Rationales of the template teacher for virtual users."""
    teacher, views, drawn = TemplateTeacher(seed), item_views(items, prompt), itertools.count()

    def explain(timeline: Timeline, place: int) -> str:
        pairs = zip(timeline.items[:place].tolist(), timeline.labels[:place].tolist(), strict=True)
        history = tuple(Rated(views[item], bool(liked)) for item, liked in pairs)
        case = Case(history, views[timeline.items[place]], f"virtual:{next(drawn)}")
        return reason_with(teacher, case, bool(timeline.labels[place]), 3, seed).text

    return explain


def make_backbone(layout: Layout, backbone: Backbone, prompt: Prompt, seed: int) -> dict[str, Any]:
    """Fill models/D/backbone: backbone.json and, for `tiny`, weights and tokenizer.

    Returns:
        Facts: the model's name and, for `tiny`, its size and the loss of its answers.

    Raises:
        ModelError: another backbone can't be loaded or used.
    """
    from thinkrec.demo.tiny import make_tiny
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.sources import settled

    facts: dict[str, Any] = {"model": backbone.model}
    with whole(layout.backbone) as folder:
        folder.mkdir(parents=True)
        if backbone.model == "tiny":
            items = Items.load(layout.items, layout.keywords)
            table = pq.read_table(layout.items, columns=["item_id", "description"]).sort_by("item_id")
            descriptions = [text or "" for text in table["description"].to_pylist()]
            explain = _explainer(items, prompt, seed)
            losses = make_tiny(folder, items, descriptions, prompt, backbone.tiny, explain, seed)
            tail = max(len(losses) // 10, 1)
            facts |= {
                "steps": len(losses),
                "answer_loss_last_tenth": round(float(np.mean(losses[-tail:])), 4),
            }
            noted = backbone.model_dump(include={"model", "revision", "load_in_4bit"}) | {"dtype": "float32"}
        else:
            noted, _ = settled(backbone, layout.root)
            facts |= noted
        write_json(folder / "backbone.json", {**noted, "verdicts": prompt.verdicts})
        if backbone.model == "tiny":
            facts["parameters"] = load_backbone(folder).model.num_parameters()
    return facts


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `backbone`."""
    return make_backbone(layout, params.backbone, params.prompt, params.seed)

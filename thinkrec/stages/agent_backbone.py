"""Stage agent-backbone: make the agent's tiny backbone, or check and note another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thinkrec.config.agent import Agent
from thinkrec.config.models import Backbone
from thinkrec.data.tables import Items
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path


def prepare_agent_backbone(layout: Layout, backbone: Backbone, options: Agent, seed: int) -> dict[str, Any]:
    """Fill models/D/agent-backbone: backbone.json and, for `tiny`, weights and tokenizer.

    Returns:
        Facts: the model's name and, for `tiny`, its size and held-out loss.

    Raises:
        ModelError: another backbone can't be used, or calls no tools.
    """
    from thinkrec.agent.local import prepare_agent_tokenizer
    from thinkrec.llm.backbone import check_source

    facts: dict[str, Any] = {"model": backbone.model}
    with whole(layout.agent_backbone) as folder:
        folder.mkdir(parents=True)
        if backbone.model == "tiny":
            facts |= _tiny(layout, folder, backbone, options, seed)
        else:
            prepare_agent_tokenizer(check_source(backbone.model, backbone.revision), backbone.model)
        noted = ("model", "revision", "dtype", "four_bit")
        write_json(folder / "backbone.json", backbone.model_dump(include=set(noted)))
    return facts


def _tiny(layout: Layout, folder: Path, backbone: Backbone, options: Agent, seed: int) -> dict[str, float]:
    from thinkrec.agent.knowledge import descriptions, load_graph
    from thinkrec.demo.agent import make_agent_backbone
    from thinkrec.llm.checkpoints import fingerprint, forget

    items = Items.load(layout.items, layout.keywords)
    highest = len(items.title) - 1
    about, graph = descriptions(layout.items, highest), load_graph(layout.graph, layout.keywords, highest)
    files = [layout.items, layout.keywords, layout.graph]
    work = layout.work("agent-backbone")
    own = work / fingerprint([backbone.model_dump(), options.model_dump(), seed], files)
    facts = make_agent_backbone(folder, items, about, graph, options, backbone.tiny, own, seed)
    forget(work)
    return facts

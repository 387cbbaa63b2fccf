"""Stage agent-backbone: make the agent's tiny backbone, or check and note another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Params
from thinkrec.data.tables import Items
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Make what fills models/D/agent-backbone: backbone.json and, for `tiny`, weights and tokenizer.

    Returns:
        Facts: the model's name and, for `tiny`, its size and held-out loss.

    Raises:
        ModelError: another backbone can't be used, or calls no tools.
    """
    from thinkrec.agent.local import prepare_agent_tokenizer
    from thinkrec.llm.sources import settled

    backbone = params.agent_backbone
    facts: dict[str, Any] = {"model": backbone.model}
    with whole(layout.agent_backbone) as folder:
        folder.mkdir(parents=True)
        if backbone.model == "tiny":
            facts |= _tiny(layout, folder, params)
            noted = backbone.model_dump(include={"model", "revision", "load_in_4bit"}) | {"dtype": "float32"}
        else:
            noted, tokenizer = settled(backbone, layout.root)
            prepare_agent_tokenizer(tokenizer, backbone.model)
        write_json(folder / "backbone.json", noted)
    return facts


def _tiny(layout: Layout, folder: Path, params: Params) -> dict[str, float]:
    from thinkrec.agent.knowledge import descriptions, load_graph
    from thinkrec.artifacts.resume import work_key
    from thinkrec.demo.agent import make_agent_backbone
    from thinkrec.llm.checkpoints import forget

    items = Items.load(layout.items, layout.keywords)
    highest = len(items.title) - 1
    about, graph = descriptions(layout.items, highest), load_graph(layout.graph, layout.keywords, highest)
    work, tiny = layout.work("agent-backbone"), params.agent_backbone.tiny
    own = work / work_key(layout, "agent-backbone", params)
    facts = make_agent_backbone(folder, items, about, graph, params.agent, tiny, own, params.seed)
    forget(work)
    return facts

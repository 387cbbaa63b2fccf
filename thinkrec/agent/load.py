"""Loading what the agent's stages share: the knowledge behind its tools, its backbone, its setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thinkrec.config.agent import Agent
from thinkrec.data.tables import Interactions, Items
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thinkrec.agent.cases import Case
    from thinkrec.agent.knowledge import Knowledge
    from thinkrec.agent.rollout import Setting
    from thinkrec.llm.backbone import Backbone
    from thinkrec.prompts.guard import Guard


def load_knowledge(
    layout: Layout, data: Interactions, options: Agent, guard: Guard | None = None
) -> Knowledge:
    """Load what the tools read: interactions, texts, the knowledge graph, the encoder's user vectors.

    Raises:
        MissingInputError: a table or the encoder is missing.
    """
    from thinkrec.agent.knowledge import Knowledge, descriptions, load_graph
    from thinkrec.cf.vectors import Arrays

    require(layout, "items", "keywords", "graph", f"encoders/{options.encoder}")
    items = Items.load(layout.items, layout.keywords)
    highest = len(items.title) - 1
    graph = load_graph(layout.graph, layout.keywords, highest)
    vectors = Arrays.load(layout.encoder(options.encoder)).user
    return Knowledge(data, items, descriptions(layout.items, highest), graph, vectors, guard)


def load_agent_backbone(layout: Layout) -> Backbone:
    """Load the agent's backbone, whose tokenizer renders and parses tool calls.

    Raises:
        ModelError: it can't be loaded, or does not support tool calls.
    """
    from thinkrec.agent.local import prepare_agent_tokenizer
    from thinkrec.llm.backbone import load_backbone

    backbone = load_backbone(layout.agent_backbone)
    prepare_agent_tokenizer(backbone.tokenizer, backbone.name)
    return backbone


def setting_of(
    knowledge: Knowledge,
    options: Agent,
    cases: Sequence[Case],
    tools: tuple[str, ...] | None = None,
    prefetched: tuple[str, ...] = (),
) -> Setting:
    """Return the setting of episodes, by default with every tool."""
    from thinkrec.agent.environment import TOOLS, Environment
    from thinkrec.agent.rollout import Setting
    from thinkrec.runs import versions

    return Setting(
        lambda: Environment(knowledge, options, cases),
        options,
        tuple(TOOLS) if tools is None else tools,
        prefetched,
        versions(),
    )

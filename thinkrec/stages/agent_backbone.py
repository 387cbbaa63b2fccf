"""Stage agent-backbone: fetch, convert or find the agent's language model, check it, and note what it is."""

from __future__ import annotations

from typing import Any

from thinkrec.config.sections import Params
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Write models/D/agent-backbone/backbone.json.

    Returns:
        Facts: the model's name, revision, dtype and origin.

    Raises:
        DataError: it can't be fetched.
        ModelError: it can't be used, or calls no tools.
    """
    from thinkrec.agent.local import prepare_agent_tokenizer
    from thinkrec.llm.sources import settled

    noted, tokenizer = settled(params.agent_backbone, layout.root)
    prepare_agent_tokenizer(tokenizer, params.agent_backbone.model)
    with whole(layout.agent_backbone) as folder:
        folder.mkdir(parents=True)
        write_json(folder / "backbone.json", noted)
    return noted

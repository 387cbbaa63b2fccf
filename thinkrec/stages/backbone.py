"""Stage backbone: fetch, convert or find the language model, check it, and note what it is."""

from __future__ import annotations

from typing import Any

from thinkrec.config.sections import Backbone, Params, Prompt
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout


def make_backbone(layout: Layout, backbone: Backbone, prompt: Prompt) -> dict[str, Any]:
    """Write models/D/backbone/backbone.json.

    Returns:
        Facts: the model's name, revision, dtype and origin.

    Raises:
        DataError: it can't be fetched.
        ModelError: it can't be loaded or used.
    """
    from thinkrec.llm.sources import settled

    noted, _ = settled(backbone, layout.root, prompt.verdicts)
    with whole(layout.backbone) as folder:
        folder.mkdir(parents=True)
        write_json(folder / "backbone.json", {**noted, "verdicts": prompt.verdicts})
    return noted


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `backbone`."""
    return make_backbone(layout, params.backbone, params.prompt)

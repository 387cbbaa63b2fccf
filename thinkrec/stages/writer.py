"""What the stages that write prompts share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Items
from thinkrec.layout import Layout

if TYPE_CHECKING:
    from thinkrec.llm.backbone import Backbone
    from thinkrec.prompts.render import PromptWriter


def make_writer(layout: Layout, backbone: Backbone, prompt: Prompt, vectors: bool) -> PromptWriter:
    """A prompt writer for the data set's items; `vectors` puts placeholders for collaborative vectors in."""
    from thinkrec.prompts.render import PromptWriter

    return PromptWriter(Items.load(layout.items, layout.keywords), prompt, backbone.tokenizer, vectors)

"""Settings of generation: what the caller says, nothing that a model brings along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import GenerationConfig, PreTrainedModel


@contextmanager
def own_settings(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, `generate` takes nothing from the settings that the model brings along."""
    theirs, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = theirs

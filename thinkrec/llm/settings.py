"""Generation settings: those of the caller alone, not those of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import GenerationConfig, PreTrainedModel


@contextmanager
def own_settings(model: PreTrainedModel) -> Iterator[None]:
    """Make `generate` ignore the model's own generation config within the block."""
    theirs, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = theirs

"""Sections that other sections hold: endpoints, backbones, adapters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from thinkrec.config.base import Section, Share


class Endpoint(Section):
    """An OpenAI-compatible chat endpoint (vLLM, SGLang, a vendor's)."""

    base_url: str = Field("http://127.0.0.1:8000/v1", description="address, with the version")
    model: str = Field("Qwen/QwQ-32B", description="model name sent with each request (paper: QwQ-32B)")
    key_variable: str = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    concurrency: PositiveInt = Field(8, description="requests under way at once")
    retries: NonNegativeInt = Field(6, description="tries again on service errors, with growing pauses")
    timeout: PositiveFloat = Field(300, description="seconds one request may take")
    temperature: NonNegativeFloat = 0.6
    answer_tokens: PositiveInt = Field(1024, description="answer budget (paper's release: 1,024)")
    more_tokens: PositiveInt = Field(512, description="raise after an empty answer (release: 512)")
    most_tokens: PositiveInt = Field(3072, description="highest budget (release: about 3,000)")


class Tiny(Section):
    """The embedded backbone: a Llama-architecture model pre-trained here, on CPU, without any label."""

    vocabulary: Annotated[int, Field(ge=512)] = 4096
    width: Annotated[int, Field(ge=64, multiple_of=32)] = Field(
        64, description="a multiple of 32, a head's width"
    )
    layers: Annotated[int, Field(ge=3)] = 3
    documents: PositiveInt = Field(8_000, description="documents read in pre-training")
    batch_size: PositiveInt = 16
    learning_rate: PositiveFloat = 2e-3


class Backbone(Section):
    """The language model under the adapters."""

    model: str = Field("tiny", description="tiny, or a hub name or folder of a Llama, Qwen or Mistral model")
    revision: str | None = Field(None, description="hub revision; null takes the newest")
    dtype: Literal["float32", "bfloat16"] = "float32"
    four_bit: bool = Field(False, description="QLoRA: weights in 4 bits; needs a GPU and bitsandbytes")
    tiny: Tiny = Tiny()


class Lora(Section):
    """Low-rank adaptation."""

    rank: PositiveInt = Field(8, description="paper: 8")
    alpha: PositiveInt = Field(16, description="paper: 16")
    dropout: Share = Field(0.05, description="paper: 0.05")
    target_modules: list[str] = Field(["q_proj", "v_proj"], min_length=1, description="paper: q_proj, v_proj")

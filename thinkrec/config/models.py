"""Sections that other sections hold: endpoints, backbones, adapters."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from thinkrec.config.base import Section, Share

BudgetField = Literal["max_tokens", "max_completion_tokens"]
SeedField = Literal["seed", "random_seed"]
BUDGET_FIELDS: tuple[str, ...] = get_args(BudgetField)
_OWN = {
    *("model", "messages", "temperature", "stream", "n", "tools", "tool_choice"),
    *BUDGET_FIELDS,
    *get_args(SeedField),
}


class Endpoint(Section):
    """An OpenAI-compatible chat endpoint (vLLM, SGLang, a vendor's)."""

    base_url: str = Field("http://127.0.0.1:8000/v1", repr=False, description="address, with the version")
    model: str = Field("Qwen/QwQ-32B", description="model name sent with each request (paper: QwQ-32B)")
    key_variable: str = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    concurrency: PositiveInt = Field(8, description="requests under way at once")
    retries: NonNegativeInt = Field(6, description="tries again on service errors, with growing pauses")
    timeout: PositiveFloat = Field(300, description="seconds one request may take")
    temperature: NonNegativeFloat | None = Field(0.6, description="null: the server's own")
    answer_tokens: PositiveInt = Field(1024, description="answer budget (paper's release: 1,024)")
    more_tokens: PositiveInt = Field(512, description="raise after an answer that was cut off (release: 512)")
    most_tokens: PositiveInt = Field(3072, description="highest budget (release: about 3,000)")
    budget_field: BudgetField | None = Field(
        "max_tokens", description="field that tells the budget: max_tokens, max_completion_tokens; null: none"
    )
    seed_field: SeedField | None = Field(
        "seed", description="field that tells the seed: seed, random_seed; null: none"
    )
    extra_body: dict[str, JsonValue] = Field(
        {},
        description="further fields of each request, such as "
        "{chat_template_kwargs: {enable_thinking: false}}",
    )

    @field_validator("base_url")
    @classmethod
    def _address(cls, base_url: str) -> str:
        """Refuse what is no address, in words that don't repeat it: it may hold a password."""
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", 0
        labels = host.removesuffix(".").split(".")
        good = (
            base_url.isprintable() and " " not in base_url and port != 0 and not parts.fragment
            and parts.scheme in ("http", "https")
            and (":" in host or all(0 < len(label) < 64 for label in labels))
        )  # fmt: skip
        if not good:
            raise ValueError(
                "must be an address such as http://127.0.0.1:8000/v1: http or https, a host, a port or none, "
                "the version"
            )
        return base_url

    @field_validator("key_variable")
    @classmethod
    def _variable(cls, key_variable: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_variable):
            raise ValueError("must be the name of the environment variable that holds the key, not the key")
        return key_variable

    @field_validator("extra_body")
    @classmethod
    def _further(cls, extra_body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := _OWN & extra_body.keys():
            raise ValueError(f"{', '.join(sorted(taken))} can't be set here: the request has its own")
        json.dumps(extra_body, allow_nan=False)
        return extra_body


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

"""Sections that other sections hold: endpoints, backbones, adapters."""

from __future__ import annotations

import json
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator

from thinkrec.config.base import AnyTemperature, Count, Few, Section, Share, Text, Unlike, Width
from thinkrec.config.secrets import is_variable

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
    model: Text = Field("Qwen/QwQ-32B", description="model name sent with each request (paper: QwQ-32B)")
    key_variable: str = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    concurrency: Few = Field(8, description="requests in progress at once")
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        6, description="tries again on service errors, with growing pauses"
    )
    timeout: Annotated[float, Field(ge=0.001, le=86_400)] = Field(
        300, description="seconds one request may take"
    )
    temperature: AnyTemperature | None = Field(0.6, description="null: the server's own")
    max_tokens: Count = Field(1024, description="answer budget (paper's release: 1,024)")
    max_tokens_step: Count = Field(512, description="raise after an answer that was cut off (release: 512)")
    max_tokens_limit: Count = Field(3072, description="highest budget (release: about 3,000)")
    max_tokens_field: BudgetField | None = Field(
        "max_tokens", description="field that sends the budget: max_tokens, max_completion_tokens; null: none"
    )
    seed_field: SeedField | None = Field(
        "seed", description="field that sends the seed: seed, random_seed; null: none"
    )
    extra_body: dict[str, JsonValue] = Field(
        {},
        repr=False,
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
    def _is_a_variable(cls, name: str) -> str:
        if not is_variable(name):
            raise ValueError("must be the name of the environment variable that holds the key, not the key")
        return name

    @field_validator("extra_body")
    @classmethod
    def _further(cls, extra_body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := _OWN & extra_body.keys():
            raise ValueError(f"{', '.join(sorted(taken))} can't be set here: the request has its own")
        json.dumps(extra_body, allow_nan=False)
        return extra_body


class Backbone(Section):
    """The language model under the adapters."""

    model: Text = Field(
        "smollm2",
        description="smollm2 (fetched), or a hub name, folder or .gguf file of a Llama, Qwen or Mistral "
        "model",
    )
    revision: Text | None = Field(None, description="hub revision; null takes the newest")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the machine is fast in it and the model is not very small"
    )
    load_in_4bit: bool = Field(False, description="QLoRA: weights in 4 bits; needs a GPU and bitsandbytes")


class Lora(Section):
    """Low-rank adaptation."""

    rank: Width = Field(8, description="paper: 8")
    alpha: Count = Field(16, description="paper: 16")
    dropout: Share = Field(0.05, description="paper: 0.05")
    target_modules: Unlike[Text] = Field(
        ["q_proj", "v_proj"], min_length=1, description="paper: q_proj, v_proj"
    )

"""A local language model as the agent, with many episodes in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic_core import to_json
from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.utils import get_json_schema
from trl.chat_template_utils import (
    add_response_schema,
    get_training_chat_template,
    has_generation_markers,
    parse_response,
    qwen3_instruct_2507_chat_template,
    supports_tool_calling,
)

from thinkrec.agent.dialogue import PREFIX
from thinkrec.agent.rollout import Dialogue, Turn
from thinkrec.errors import ModelError
from thinkrec.llm.settings import own_settings

TEMPLATE: dict[str, Any] = {"enable_thinking": False}
"""Arguments of chat templates besides messages and tools."""
_CHATML = "<|im_start|>"


def prepare_agent_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Check that a tokenizer's chat template renders tool calls, and set the schema that parses them.

    A template of ChatML that renders none, such as SmolLM2's, gives way to Qwen3-Instruct's, which writes the
    same turns (our choice).

    Raises:
        ModelError: the template does not render tool calls, or TRL has no schema for them.
    """
    if not supports_tool_calling(tokenizer) and _CHATML in str(tokenizer.chat_template):
        tokenizer.chat_template = qwen3_instruct_2507_chat_template
    if not supports_tool_calling(tokenizer):
        raise ModelError(
            f"the chat template of {name!r} renders no tool calls: set agent-backbone.model in params.yaml "
            "to a model that calls tools, such as Qwen/Qwen3-8B"
        )
    if getattr(tokenizer, "response_template", None) is None:
        try:
            add_response_schema(tokenizer)
        except ValueError as error:
            raise ModelError(
                f"TRL does not know how {name!r} writes tool calls: set agent-backbone.model in params.yaml "
                "to a Qwen3, Llama 3 or GLM 4 model, or give its tokenizer a response_template"
            ) from error


def training_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return a chat template that marks the assistant's tokens, or None if the tokenizer's own does."""
    if has_generation_markers(tokenizer.chat_template):
        return None
    marked: str | None = get_training_chat_template(tokenizer)
    return marked


class Local:
    """Continues dialogues with a causal language model.

    Args:
        model: a causal language model or a PEFT model, in evaluation mode.
        tokenizer: prepared for the agent.
        name: of the system.
        temperature: of the sampling; 0 decodes greedily.
        tokens: maximum number of tokens per turn.
    """

    def __init__(
        self, model: Any, tokenizer: PreTrainedTokenizerBase, name: str, temperature: float, tokens: int
    ) -> None:
        """Keep the model and its settings."""
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self._temperature, self._tokens = temperature, tokens
        self._template = training_template(tokenizer)  # renders earlier turns as training does

    def _settings(self) -> GenerationConfig:
        sampling: dict[str, Any] = {"do_sample": False}
        if self._temperature:
            sampling = {"do_sample": True, "temperature": self._temperature, "top_k": 0}
        pad = self.tokenizer.pad_token_id
        end = self.tokenizer.eos_token_id
        return GenerationConfig(
            **sampling,
            max_new_tokens=self._tokens,
            eos_token_id=end,
            pad_token_id=end if pad is None else pad,
        )

    @torch.no_grad()
    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Return the next message of each dialogue; a forced answer (`last`) is prefilled with its prefix."""
        texts = [self._text(dialogue, last) for dialogue in dialogues]
        batch = self.tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        ).to(self.model.device)
        torch.manual_seed(dialogues[0].seed * 31 + len(dialogues[0].messages))
        with own_settings(self.model):
            sequences = self.model.generate(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask,
                generation_config=self._settings(),
            )  # fmt: skip
        # Prompts are padded on the left, so that all generated tokens start in the same column.
        generated = sequences[:, batch.input_ids.shape[1] :].tolist()
        return [
            self._parse(dialogue, prompt[-sum(mask) :], ids, last)
            for dialogue, prompt, mask, ids in zip(
                dialogues, batch.input_ids.tolist(), batch.attention_mask.tolist(), generated, strict=True
            )
        ]

    def _text(self, dialogue: Dialogue, forced: bool) -> str:
        tools: Any = [get_json_schema(tool) for tool in dialogue.tools.values()] or None
        text = self.tokenizer.apply_chat_template(
            dialogue.messages, tools=tools, add_generation_prompt=True, tokenize=False,
            chat_template=self._template, **TEMPLATE,
        )  # fmt: skip
        return f"{text}{PREFIX}" if forced else str(text)

    def _parse(self, dialogue: Dialogue, prompt: list[int], ids: list[int], forced: bool) -> Turn:
        """Return the message of generated token ids; an unparsable one becomes plain content."""
        end = self.tokenizer.eos_token_id
        if end in ids:
            ids = ids[: ids.index(end) + 1]
        if forced:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            return Turn({"role": "assistant", "content": f"{PREFIX}{text}"}, len(prompt), len(ids))
        try:
            parsed = parse_response(self.tokenizer, ids, prefix=prompt, tools=list(dialogue.tools.values()))
            to_json(parsed)  # fails if nested too deep or with lone surrogates, which no prompt can contain
        except (RecursionError, ValueError):
            parsed = {"content": self.tokenizer.decode(ids, skip_special_tokens=True)}
        message = {"role": "assistant", "content": str(parsed.get("content") or "").strip()}
        if parsed.get("tool_calls"):
            message["tool_calls"] = parsed["tool_calls"]
        return Turn(message, len(prompt), len(ids))

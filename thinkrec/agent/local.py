"""A language model on this machine as the agent, many episodes in one batch."""

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
    supports_tool_calling,
)

from thinkrec.agent.dialogue import PREFIX
from thinkrec.agent.rollout import Dialogue, Turn
from thinkrec.errors import ModelError
from thinkrec.llm.settings import own_settings

TEMPLATE: dict[str, Any] = {"enable_thinking": False}
"""What chat templates are told besides messages and tools."""


def prepare_agent_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Check that a tokenizer's chat template renders tool calls, and set what reads them back.

    Raises:
        ModelError: its template does not, or nobody knows how to read its calls.
    """
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
    """The chat template that marks what the assistant says; None where the tokenizer's own one does."""
    if has_generation_markers(tokenizer.chat_template):
        return None
    found: str | None = get_training_chat_template(tokenizer)
    return found


class Local:
    """Continues dialogues by a causal language model.

    Args:
        model: in evaluation mode; a PEFT model or a plain one.
        tokenizer: prepared.
        name: of the system.
        temperature: 0 takes the likeliest token.
        tokens: most tokens of a turn.
    """

    def __init__(
        self, model: Any, tokenizer: PreTrainedTokenizerBase, name: str, temperature: float, tokens: int
    ) -> None:
        """Keep the parts."""
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
        """Each dialogue's next message; the first word of an answer that budgets force is given."""
        texts = [self._text(dialogue, last) for dialogue in dialogues]
        batch = self.tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        ).to(self.model.device)
        torch.manual_seed(dialogues[0].seed * 31 + len(dialogues[0].messages))
        with own_settings(self.model):
            found = self.model.generate(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask,
                generation_config=self._settings(),
            )  # fmt: skip
        said = found[:, batch.input_ids.shape[1] :].tolist()
        return [
            self._read(dialogue, prompt[-sum(mask) :], ids, last)
            for dialogue, prompt, mask, ids in zip(
                dialogues, batch.input_ids.tolist(), batch.attention_mask.tolist(), said, strict=True
            )
        ]

    def _text(self, dialogue: Dialogue, forced: bool) -> str:
        tools: Any = [get_json_schema(tool) for tool in dialogue.tools.values()] or None
        text = self.tokenizer.apply_chat_template(
            dialogue.messages, tools=tools, add_generation_prompt=True, tokenize=False,
            chat_template=self._template, **TEMPLATE,
        )  # fmt: skip
        return f"{text}{PREFIX}" if forced else str(text)

    def _read(self, dialogue: Dialogue, prompt: list[int], ids: list[int], forced: bool) -> Turn:
        end = self.tokenizer.eos_token_id
        if end in ids:
            ids = ids[: ids.index(end) + 1]
        if forced:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            return Turn({"role": "assistant", "content": f"{PREFIX}{text}"}, len(prompt), len(ids))
        try:
            parsed = parse_response(self.tokenizer, ids, prefix=prompt, tools=list(dialogue.tools.values()))
            to_json(parsed)  # else the next prompt could not be made: nested too deep, half a surrogate pair
        except (RecursionError, ValueError):
            parsed = {"content": self.tokenizer.decode(ids, skip_special_tokens=True)}
        message = {"role": "assistant", "content": str(parsed.get("content") or "").strip()}
        if parsed.get("tool_calls"):
            message["tool_calls"] = parsed["tool_calls"]
        return Turn(message, len(prompt), len(ids))

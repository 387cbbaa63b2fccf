"""What a chat endpoint answers, in any of the shapes that servers give it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from thinkrec.teachers.redact import clean, cleaned

_TOO_LONG = ("length", "model_length", "max_tokens")
_NO_CODES = (None, 0, "0", "")
_TEXTS = ("text", "thinking", "reasoning", "content", "refusal", "summary")


class NoAnswerError(ValueError):
    """What a server sent holds no answer; says what it holds."""


def printable(value: Any) -> Any:
    """A JSON value whose texts can be written anywhere: each half of a surrogate pair is a question mark."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def read_calls(calls: Any) -> list[dict[str, Any]]:
    """Tool calls in the one shape that requests want, arguments as text; what is no call is left out."""
    return [
        {
            "id": str(call.get("id") or f"call_{number}"),
            "type": "function",
            "function": {"name": str(function.get("name") or ""), "arguments": _arguments(function)},
        }
        for number, call in enumerate(calls if isinstance(calls, list) else [])
        if isinstance(call, dict) and isinstance(function := call.get("function"), dict)
    ]


def _arguments(function: dict[str, Any]) -> str:
    said = function.get("arguments")
    return said if isinstance(said, str) else json.dumps({} if said is None else said)


@dataclass(frozen=True)
class Said:
    """An answer as it is kept.

    Args:
        content: its text, thinking within `<think>` included.
        thinking: what the server gave apart as thinking.
        finish: why it ended, such as stop or length; None where the server does not say.
        tool_calls: as requests want them.
        usage: tokens of the request and of the answer, (0, 0) where nobody counts.
    """

    content: str
    thinking: str
    finish: str | None = None
    tool_calls: Annotated[list[dict[str, Any]], BeforeValidator(read_calls)] = field(default_factory=list)
    usage: tuple[int, int] = (0, 0)

    @property
    def too_long(self) -> bool:
        """Its budget was used up."""
        return (self.finish or "").lower() in _TOO_LONG

    @property
    def cut(self) -> bool:
        """It ended before its own end, since its budget was used up or a filter stopped it."""
        return self.too_long or self.finish == "content_filter"


def read_answer(body: Any) -> Said:
    """Read the answer out of a chat completion.

    Content may be text, null, a number, or parts, of which those that are thinking are told apart. All of it
    is cleaned (`thinkrec.teachers.redact`).

    Raises:
        NoAnswerError: there is none.
    """
    body = cleaned(printable(body)) if isinstance(body, dict) else {}
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    choice = choice if isinstance(choice, dict) else {}
    message = choice.get("message")
    error = body.get("error")
    if isinstance(error, dict) and error.get("code", "?") in _NO_CODES and _answered(message):
        error = None  # some gateways send one with each answer
    if error or choice.get("error") or choice.get("finish_reason") == "error":
        raise NoAnswerError("an error inside")
    if not isinstance(message, dict):
        raise NoAnswerError("no message")
    content = message.get("content")
    parts = list(_parts(content))
    if not parts and isinstance(content, bool | dict):
        raise NoAnswerError(f"content that is no text, {json.dumps(content)}")
    fields = (message.get(name) for name in ("reasoning_content", "reasoning", "reasoning_details"))
    apart = next(filter(None, map(_text, fields)), "")  # vLLM's and SGLang's name; OpenRouter's two
    return Said(  # cleaned again, since parts may have met
        clean("".join(text for thinking, text in parts if not thinking) or _text(message.get("refusal"))),
        clean("".join(text for thinking, text in parts if thinking) or apart),
        finish if isinstance(finish := choice.get("finish_reason"), str) else None,
        read_calls(message.get("tool_calls")),
        _usage(body.get("usage")),
    )


def _answered(message: Any) -> bool:
    return isinstance(message, dict) and bool(_text(message.get("content")) or message.get("tool_calls"))


def _parts(value: Any, thinking: bool = False) -> Iterator[tuple[bool, str]]:
    """Whether it is thinking, and the text, of each part of a content."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        yield thinking, str(value)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(part, thinking)
    elif isinstance(value, dict):
        key = next((name for name in _TEXTS if value.get(name)), "")
        kind = f"{value.get('type')} {key}"
        yield from _parts(value.get(key), thinking or "think" in kind or "reason" in kind)


def _text(value: Any) -> str:
    return "".join(text for _, text in _parts(value))


def _usage(value: Any) -> tuple[int, int]:
    counts = value if isinstance(value, dict) else {}
    read, made = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return (read, made) if isinstance(read, int) and isinstance(made, int) else (0, 0)

"""Chat completions in any of the forms that servers send."""

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
    """A response contains no answer; the message says what it contains."""


def printable(value: Any) -> Any:
    """Return a JSON value whose texts can be encoded: lone surrogates become question marks."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def read_calls(calls: Any) -> list[dict[str, Any]]:
    """Return tool calls in the form of requests, with arguments as text; anything else is dropped."""
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
    arguments = function.get("arguments")
    return arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments)


@dataclass(frozen=True)
class Completion:
    """An answer as stored in the cache.

    Args:
        content: its text, including any thinking in `<think>`.
        thinking: thinking that the server returned separately.
        finish: the finish reason, such as stop or length, or None.
        tool_calls: in the form of requests.
        usage: tokens of the request and of the answer, (0, 0) if not reported.
    """

    content: str
    thinking: str
    finish: str | None = None
    tool_calls: Annotated[list[dict[str, Any]], BeforeValidator(read_calls)] = field(default_factory=list)
    usage: tuple[int, int] = (0, 0)

    @property
    def too_long(self) -> bool:
        """Whether it ended because its budget was used up."""
        return (self.finish or "").lower() in _TOO_LONG

    @property
    def cut(self) -> bool:
        """Whether it was cut off, by its budget or by a content filter."""
        return self.too_long or self.finish == "content_filter"


def read_answer(body: Any) -> Completion:
    """Read the answer from the body of a chat completion.

    Content may be text, null, a number, or parts, some of which may be thinking. All texts are cleaned
    (`thinkrec.teachers.redact`).

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
        error = None  # some gateways send an error object with each answer
    if error or choice.get("error") or choice.get("finish_reason") == "error":
        raise NoAnswerError("an error inside")
    if not isinstance(message, dict):
        raise NoAnswerError("no message")
    content = message.get("content")
    parts = list(_parts(content))
    if not parts and isinstance(content, bool | dict):
        raise NoAnswerError(f"content that is not text, {json.dumps(content)}")
    fields = (message.get(name) for name in ("reasoning_content", "reasoning", "reasoning_details"))
    separate = next(filter(None, map(_text, fields)), "")  # the field of vLLM and SGLang; OpenRouter's two
    return Completion(  # cleaned again, since a secret may be spread over parts
        clean("".join(text for thinking, text in parts if not thinking) or _text(message.get("refusal"))),
        clean("".join(text for thinking, text in parts if thinking) or separate),
        finish if isinstance(finish := choice.get("finish_reason"), str) else None,
        read_calls(message.get("tool_calls")),
        _usage(body.get("usage")),
    )


def _answered(message: Any) -> bool:
    return isinstance(message, dict) and bool(_text(message.get("content")) or message.get("tool_calls"))


def _parts(value: Any, thinking: bool = False) -> Iterator[tuple[bool, str]]:
    """Yield each part of a content as (is thinking, text)."""
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
    prompt, answer = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return (prompt, answer) if isinstance(prompt, int) and isinstance(answer, int) else (0, 0)

"""A client for OpenAI-compatible chat endpoints: cache, retries, growing answer budget, clear errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.cache import AnswerCache
from thinkrec.teachers.completion import Completion, read_answer
from thinkrec.teachers.connection import connect
from thinkrec.teachers.faults import explain, look_inside
from thinkrec.teachers.redact import clean, clean_error, shown_url
from thinkrec.teachers.text import fingerprint

Message = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer of a chat model.

    Args:
        thinking: the reasoning trace, "" if there is none or the server hides it.
        text: the final answer, "" if there is none.
        cut: it was cut off, even with the largest budget.
        request_hash: SHA-256 of the request.
        calls: tool calls.
        usage: tokens of the request and of the answer, (0, 0) if not reported.
    """

    thinking: str
    text: str
    cut: bool
    request_hash: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    usage: tuple[int, int] = (0, 0)


def split_thinking(content: str) -> tuple[str, str]:
    """Split a model's text into its thinking and its final answer.

    `<think>` may be missing, if the chat template already opened it. If `</think>` is missing after it, the
    budget ran out before the answer, and the rest is thinking.
    """
    before, closed, after = content.rpartition("</think>")
    if closed:
        return re.sub(r"^\s*<think>", "", before).strip(), after.strip()
    before, opened, after = content.partition("<think>")
    return (after.strip(), before.strip()) if opened else ("", content.strip())


class ChatClient:
    """Sends requests to one model at one endpoint; thread-safe.

    Args:
        endpoint: address, model, budgets.
        section: the section of params.yaml that contains `endpoint`, for errors.
        cache: file of earlier answers (see `AnswerCache`).
        seed: part of each request, so that another seed requests new answers.
    """

    def __init__(self, endpoint: Endpoint, section: str, cache: Path, seed: int = 0) -> None:
        """Open the cache; nothing is sent yet.

        Raises:
            ConfigError: the key or the address can't be used.
        """
        self.endpoint = endpoint
        self.section = section
        self.seed = seed
        self.cache = AnswerCache(cache)
        self._client = connect(endpoint, section, look_inside)

    def ask(self, messages: list[Message], seed: int | None = None, **fields: Any) -> Reply:
        """Send a conversation to the model, again with a larger budget while the answer is cut off.

        An empty answer counts as cut off if the server reports no finish reason.

        Args:
            messages: the conversation.
            seed: overrides the client's seed.
            fields: further fields of the request, such as tools.

        Raises:
            TeacherError: the endpoint failed permanently.
        """
        for request in self._requests(messages, seed, fields):
            key = fingerprint(request)
            answer = self.cache.get(key) or self._send_and_cache(key, request)
            thinking, text = split_thinking(answer.content)
            if not answer.too_long and (text or answer.tool_calls or answer.finish):
                break
        return Reply(thinking or answer.thinking, text, answer.cut, key, answer.tool_calls, answer.usage)

    def _requests(
        self, messages: list[Message], seed: int | None, fields: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield the request with each answer budget, the smallest first."""
        endpoint = self.endpoint
        request = {"model": endpoint.model, "messages": messages, **fields, **endpoint.extra_body}
        if endpoint.temperature is not None:
            request["temperature"] = endpoint.temperature
        if endpoint.seed_field:
            request[endpoint.seed_field] = self.seed if seed is None else seed
        if endpoint.max_tokens_field is None:
            yield request
            return
        first, most = endpoint.max_tokens, endpoint.max_tokens_limit
        for budget in [*range(first, most, endpoint.max_tokens_step), max(first, most)]:
            yield request | {endpoint.max_tokens_field: budget}

    def _send_and_cache(self, key: str, request: dict[str, Any]) -> Completion:
        answer = self._send(request)
        self.cache.put(key, answer)
        return answer

    def _send(self, request: dict[str, Any]) -> Completion:
        """Send a request and return the answer."""
        try:
            return read_answer(json.loads(self._client.post("/chat/completions", cast_to=str, body=request)))
        except openai.APIStatusError as error:
            raise self._failure(error, *explain(error, self.endpoint)) from error
        except openai.APITimeoutError as error:
            what = f"gave no answer within {self.endpoint.timeout:g} s"
            advice = "raise {section}.endpoint.timeout, or lower {section}.endpoint.concurrency"
            raise self._failure(error, what, advice) from error
        except openai.APIConnectionError as error:
            advice = "start it, or correct {section}.endpoint.base_url"
            raise self._failure(error, "cannot be reached", advice) from error

    def _failure(self, error: openai.APIError, what: str, advice: str) -> TeacherError:
        tries = int(error.request.headers.get("x-stainless-retry-count", 0)) + 1
        todo = advice.format(section=self.section, key=self.endpoint.key_variable)
        clean_error(error)
        return TeacherError(
            clean(
                f"the endpoint {shown_url(self.endpoint.base_url)} (model {self.endpoint.model}) {what}, "
                f"after {tries} {'try' if tries == 1 else 'tries'}: {todo}; then run the same command again, "
                f"which resumes from the {len(self.cache)} answers kept so far"
            )
        )

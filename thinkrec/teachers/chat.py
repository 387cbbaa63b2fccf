"""A client of any OpenAI-compatible chat endpoint: cache, retries, growing answer budget, clear errors."""

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
from thinkrec.teachers.completion import Said, read_answer
from thinkrec.teachers.connection import connect
from thinkrec.teachers.faults import explain, look_inside
from thinkrec.teachers.redact import clean, clean_error, shown_url
from thinkrec.teachers.text import fingerprint

Message = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer of a chat model.

    Args:
        thinking: what it thought aloud before, "" when it did not or the server hides it.
        text: the answer proper; "" when there is none.
        cut: it was cut off, even with the highest budget.
        request_hash: SHA-256 of the request that brought it.
        calls: of tools.
        usage: tokens of the request and of the answer, (0, 0) where nobody counts.
    """

    thinking: str
    text: str
    cut: bool
    request_hash: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    usage: tuple[int, int] = (0, 0)


def split_thinking(content: str) -> tuple[str, str]:
    """Part the thinking from the final answer of a model's text.

    `<think>` may be missing (templates that begin it for the model); `</think>` may be missing too, when
    the budget ran out before the answer: then all of it is thinking.
    """
    before, closed, after = content.rpartition("</think>")
    if closed:
        return re.sub(r"^\s*<think>", "", before).strip(), after.strip()
    before, opened, after = content.partition("<think>")
    return (after.strip(), before.strip()) if opened else ("", content.strip())


class ChatClient:
    """Asks one model at one address. Safe to use from threads.

    Args:
        endpoint: address, model, budgets.
        section: the section of params.yaml that holds `endpoint`, named in errors.
        cache: file of the answers already given (see `AnswerCache`).
        seed: sent along, so that another seed asks anew.
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
        """Put a conversation to the model; while the answer is cut off, again with a larger budget.

        An empty answer counts as cut off where the server does not say why it ended.

        Args:
            messages: the conversation.
            seed: in place of the client's own.
            fields: further ones of the request, such as tools.

        Raises:
            TeacherError: the endpoint failed for good.
        """
        for request in self._requests(messages, seed, fields):
            key = fingerprint(request)
            said = self.cache.get(key) or self._sent(key, request)
            thinking, text = split_thinking(said.content)
            if not said.too_long and (text or said.tool_calls or said.finish):
                break
        return Reply(thinking or said.thinking, text, said.cut, key, said.tool_calls, said.usage)

    def _requests(
        self, messages: list[Message], seed: int | None, fields: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """The same request with each answer budget, the smallest first."""
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

    def _sent(self, key: str, request: dict[str, Any]) -> Said:
        said = self._send(request)
        self.cache.put(key, said)
        return said

    def _send(self, request: dict[str, Any]) -> Said:
        """What the model says to a request."""
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

"""A client of any OpenAI-compatible chat endpoint: cache, retries, growing answer budget, clear errors."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.cache import AnswerCache
from thinkrec.teachers.text import fingerprint

Message = dict[str, str]
_ADVICE = {
    400: "the server refuses this request: check {section}.endpoint.model and the answer budgets",
    401: "set the environment variable {key} to a valid key",
    403: "set the environment variable {key} to a key that may use this model",
    404: "check {section}.endpoint.base_url (with its version, such as /v1) and {section}.endpoint.model",
    429: "lower {section}.endpoint.concurrency or wait",
}
_BUSY = "look into the server's log, or lower {section}.endpoint.concurrency"


@dataclass(frozen=True)
class Reply:
    """One answer of a chat model.

    Args:
        thinking: what it thought aloud before, "" when it did not or the server hides it.
        final: the answer proper; "" when even the highest budget brought none.
        request_hash: SHA-256 of the request that brought it.
    """

    thinking: str
    final: str
    request_hash: str


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
        """Open the cache; nothing is sent yet."""
        self.endpoint = endpoint
        self.section = section
        self.seed = seed
        self.cache = AnswerCache(cache)
        # A local server wants no key, but the package wants one to be there.
        key = os.environ.get(endpoint.key_variable) or "none"
        self._client = openai.OpenAI(
            base_url=endpoint.base_url, api_key=key, timeout=endpoint.timeout, max_retries=endpoint.retries
        )

    def ask(self, messages: list[Message]) -> Reply:
        """Put a conversation to the model; while the answer is empty, again with a larger budget.

        Raises:
            TeacherError: the endpoint failed for good.
        """
        budget = self.endpoint.answer_tokens
        while True:
            request = self._request(messages, budget)
            key = fingerprint(request)
            said = self.cache.get(key)
            if said is None:
                said = self._send(request)
                self.cache.put(key, said)
            thinking, final = split_thinking(said["content"])
            if final or budget >= self.endpoint.most_tokens:
                return Reply(thinking or said["thinking"], final, key)
            budget = min(budget + self.endpoint.more_tokens, self.endpoint.most_tokens)

    def converse(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request of one's own making, unless its answer is known; see `_send`.

        Raises:
            TeacherError: the endpoint failed for good.
        """
        key = fingerprint(request)
        said = self.cache.get(key)
        if said is None:
            said = self._send(request)
            self.cache.put(key, said)
        return said

    def _request(self, messages: list[Message], budget: int) -> dict[str, Any]:
        return {
            "model": self.endpoint.model,
            "messages": messages,
            "temperature": self.endpoint.temperature,
            "max_tokens": budget,
            "seed": self.seed,
        }

    def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the model says to a request: content, thinking, and its tool calls where it makes any."""
        try:
            done = self._client.chat.completions.create(**request)
            message = done.choices[0].message
            # vLLM and SGLang move thinking to a field of its own when they have a parser for the model.
            thinking = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
            said = {"content": message.content or "", "thinking": str(thinking or "")}
            if message.tool_calls:
                said["tool_calls"] = [call.model_dump(exclude_none=True) for call in message.tool_calls]
            if request.get("tools") and done.usage:
                said["usage"] = [done.usage.prompt_tokens, done.usage.completion_tokens]
            return said
        except openai.APIStatusError as error:
            advice = _ADVICE.get(error.status_code, _BUSY)
            raise self._failure(f"answered {error.status_code} ({_detail(error)})", advice) from error
        except openai.APITimeoutError as error:
            advice = "raise {section}.endpoint.timeout, or lower {section}.endpoint.concurrency"
            raise self._failure(f"gave no answer within {self.endpoint.timeout:g} s", advice) from error
        except openai.APIConnectionError as error:
            advice = "start it, or mend {section}.endpoint.base_url"
            raise self._failure("cannot be reached", advice) from error
        except (openai.APIError, ValueError, AttributeError, IndexError, TypeError) as error:
            advice = (
                "check that {section}.endpoint.base_url is an OpenAI-compatible address, with its version"
            )
            raise self._failure("sent something that is no chat completion", advice) from error

    def _failure(self, what: str, advice: str) -> TeacherError:
        tries = self.endpoint.retries + 1
        todo = advice.format(section=self.section, key=self.endpoint.key_variable)
        return TeacherError(
            f"the endpoint {self.endpoint.base_url} (model {self.endpoint.model}) {what}, {tries} "
            f"{'try' if tries == 1 else 'tries'} at most: {todo}; then run the same command again, which "
            f"goes on from the {len(self.cache)} answers kept so far"
        )


def _detail(error: openai.APIStatusError) -> str:
    """The server's own words on one line, shortened."""
    body = error.body
    said = body.get("message", body) if isinstance(body, dict) else body or error.message
    return " ".join(str(said).split())[:200]

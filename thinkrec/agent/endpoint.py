"""An agent behind an OpenAI-compatible endpoint, such as vLLM, SGLang or a vendor's."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import openai
from pydantic_core import to_json
from transformers.utils import get_json_schema

from thinkrec.agent.dialogue import Message
from thinkrec.agent.rollout import Dialogue, Turn
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient, Reply
from thinkrec.teachers.parallel import ordered_map
from thinkrec.teachers.redact import cleaned, one_line
from thinkrec.teachers.trial import FIRST, useless

log = logging.getLogger(__name__)
NOW = "No tool calls are left. Give the ranking now."


class Remote:
    """Continues dialogues by requests to an endpoint, at most `concurrency` at once.

    A dialogue whose request is refused (HTTP 400), such as one that is too long, ends without an answer.

    Args:
        client: sends the requests, with its temperature, answer budget, cache, retries and errors.
    """

    def __init__(self, client: ChatClient) -> None:
        """Keep the client; nothing is sent yet."""
        self._client = client
        self._answered = False
        self.name = f"endpoint:{client.endpoint.model}"

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Return the next message of each dialogue; the last one is the answer, requested without tools.

        Raises:
            TeacherError: the endpoint failed permanently, refused all requests so far, or returned nothing
                usable in many first turns.
        """
        results = ordered_map(
            lambda dialogue: self._ask(dialogue, last),
            dialogues,
            self._client.endpoint.concurrency,
            "this turn",
        )
        if not self._answered:
            replies = [each for each in results if isinstance(each, Reply)]
            if not replies:
                raise next(each for each in results if isinstance(each, TeacherError))
            if len(replies) >= FIRST and not any(reply.text or reply.calls for reply in replies):
                raise useless(replies, "contains text or a tool call", self._client.section)
            self._answered = True
        return [_turn(each, last) for each in results]

    def _ask(self, dialogue: Dialogue, last: bool) -> Reply | TeacherError:
        """Return the next message, or the error of a refused request."""
        messages = [_request(message) for message in dialogue.messages]
        tools = [get_json_schema(tool) for tool in dialogue.tools.values()]
        if last and tools:
            messages.append({"role": "user", "content": NOW})
        fields = {"tools": tools, "tool_choice": "none" if last else "auto"} if tools else {}
        try:
            return self._client.ask(messages, dialogue.seed, **fields)
        except TeacherError as error:
            if not isinstance(error.__cause__, openai.BadRequestError):
                raise
            log.warning("an episode ends without an answer: %s", one_line(str(error.__cause__))[:200])
            return error


def _turn(reply: Reply | TeacherError, last: bool) -> Turn:
    if isinstance(reply, TeacherError):
        return Turn({"role": "assistant", "content": ""})
    message: Message = {"role": "assistant", "content": reply.text}
    if reply.calls and not last:
        message["tool_calls"] = [_parsed(call) for call in reply.calls]
    return Turn(message, *reply.usage)


def _parsed(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call with its arguments as an object, or as received if they are not valid JSON."""
    function = dict(call["function"])
    with suppress(ValueError, RecursionError):  # not JSON, or JSON that can't be sent back: see `Local`
        arguments = json.loads(function["arguments"] or "{}")
        to_json(arguments)
        function["arguments"] = cleaned(arguments)
    return {**call, "function": function}


def _request(message: Message) -> Message:
    """Return a message as the endpoint expects it, with arguments as text."""
    if message["role"] == "tool" and not message.get("tool_call_id"):  # an error about an unparsable call
        return {"role": "user", "content": message["content"]}
    if not message.get("tool_calls"):
        return {key: value for key, value in message.items() if key != "name"}
    calls = []
    for call in message["tool_calls"]:
        arguments = call["function"]["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append({**call, "function": {**call["function"], "arguments": text}})
    return {**message, "tool_calls": calls}

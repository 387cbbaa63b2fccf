"""A model behind an OpenAI-compatible endpoint as the agent: vLLM, SGLang or a vendor's."""

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
NOW = "No calls are left. Answer now with the ranking."


class Remote:
    """Continues dialogues by requests, as many at once as the endpoint's `concurrency` says.

    A dialogue whose request is refused (HTTP 400), such as one that is too long, ends without an answer.

    Args:
        client: the endpoint, with its temperature, answer budget, cache, retries and errors.
    """

    def __init__(self, client: ChatClient) -> None:
        """Ask through `client`."""
        self._client = client
        self._answered = False
        self.name = f"endpoint:{client.endpoint.model}"

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Each dialogue's next message; one that must be the answer is asked for it and offered no tool.

        Raises:
            TeacherError: the endpoint failed for good, refused all that it was ever asked, or said nothing at
                all in many first turns.
        """
        found = ordered_map(
            lambda dialogue: self._ask(dialogue, last),
            dialogues,
            self._client.endpoint.concurrency,
            "this turn",
        )
        if not self._answered:
            replies = [each for each in found if isinstance(each, Reply)]
            if not replies:
                raise next(each for each in found if isinstance(each, TeacherError))
            if len(replies) >= FIRST and not any(reply.text or reply.calls for reply in replies):
                raise useless(replies, "says anything or calls a tool", self._client.section)
            self._answered = True
        return [_turn(each, last) for each in found]

    def _ask(self, dialogue: Dialogue, last: bool) -> Reply | TeacherError:
        """The next message, or why the request was refused."""
        messages = [_sent(message) for message in dialogue.messages]
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


def _turn(said: Reply | TeacherError, last: bool) -> Turn:
    if isinstance(said, TeacherError):
        return Turn({"role": "assistant", "content": ""})
    message: Message = {"role": "assistant", "content": said.text}
    if said.calls and not last:
        message["tool_calls"] = [_read(call) for call in said.calls]
    return Turn(message, *said.usage)


def _read(call: dict[str, Any]) -> dict[str, Any]:
    """A call with its arguments as an object, or as the text they came in where it is none."""
    function = dict(call["function"])
    with suppress(ValueError, RecursionError):  # no JSON, or what could not be sent back: see `Local`
        found = json.loads(function["arguments"] or "{}")
        to_json(found)
        function["arguments"] = cleaned(found)
    return {**call, "function": function}


def _sent(message: Message) -> Message:
    """A message as the endpoint wants it: arguments as text."""
    if message["role"] == "tool" and not message.get("tool_call_id"):  # an error about what was no call
        return {"role": "user", "content": message["content"]}
    if not message.get("tool_calls"):
        return {key: value for key, value in message.items() if key != "name"}
    calls = []
    for call in message["tool_calls"]:
        arguments = call["function"]["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append({**call, "function": {**call["function"], "arguments": text}})
    return {**message, "tool_calls": calls}

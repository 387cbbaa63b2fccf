"""A teacher behind a chat endpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence

from thinkrec.prompts.templates import template
from thinkrec.teachers.chat import ChatClient, Message
from thinkrec.teachers.protocol import Answer, Case, Turn
from thinkrec.teachers.text import sanitize

_VERDICT = re.compile(
    r"[\s*_#`'\"]*(?:(?:final )?(?:answer|verdict)[*_` ]*[:\n][\s*_`'\"]*)?"
    r"(yes|no)[*_`'\"]*(?:\s*[.,:;!\u2013\u2014-]+|\s*\n|\s*$)(?![*_`'\"\s]*or\b)[\s*_`]*",
    re.IGNORECASE,
)


def parse_verdict(final: str) -> tuple[bool | None, str]:
    """Split an answer into its verdict and the rest.

    The verdict is `Yes` or `No` at the very start, optionally after `Answer:` or `Verdict:`, followed by
    punctuation or a new line. Otherwise it is None: `No doubt they like it` begins with No and means Yes.
    """
    match = _VERDICT.match(final)
    if match is None:
        return None, " ".join(sanitize(final).split())
    return match[1].lower() == "yes", sanitize(final[match.end() :])


class EndpointTeacher:
    """A reasoning model; its thinking serves as the reason only if its answer gives none."""

    def __init__(self, client: ChatClient) -> None:
        """Keep the client; nothing is sent yet."""
        self._client = client
        self.name = f"endpoint:{client.endpoint.model}"
        self.concurrency = client.endpoint.concurrency

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        """Ask the model, with the earlier turns as one conversation.

        Raises:
            TeacherError: the endpoint failed permanently.
        """
        prompt = template("teachers/reasoning.j2").render(history=case.history, target=case.target)
        messages: list[Message] = [{"role": "user", "content": prompt.strip()}]
        for turn in turns:
            # Some servers refuse an empty message.
            messages.append({"role": "assistant", "content": turn.answer.text or "(no answer)"})
            messages.append({"role": "user", "content": turn.reply})
        reply = self._client.ask(messages)
        verdict, reasoning = parse_verdict(reply.text)
        if verdict is not None and not reasoning:
            reasoning = sanitize(reply.thinking)
        return Answer(verdict, reasoning, reply.text, reply.request_hash, reply.thinking, reply.cut)

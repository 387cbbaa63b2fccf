"""Extractor and teacher behind a chat endpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence

from thinkrec.prompts.templates import template
from thinkrec.teachers.chat import ChatClient, Message, Reply
from thinkrec.teachers.keywords import boilerplate, tidy
from thinkrec.teachers.parallel import ordered_map
from thinkrec.teachers.protocol import Answer, Case, ItemFields, Turn
from thinkrec.teachers.text import first_words, plain
from thinkrec.teachers.trial import useless

_VERDICT = re.compile(
    r"[\s*_#`'\"]*(?:(?:final )?(?:answer|verdict)[*_` ]*[:\n][\s*_`'\"]*)?"
    r"(yes|no)[*_`'\"]*(?:\s*[.,:;!\u2013\u2014-]+|\s*\n|\s*$)(?![*_`'\"\s]*or\b)[\s*_`]*",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^(?:[^:\n]{0,60}?\b)?(?:key[ -]?(?:words?|phrases?|terms?)|tags?)(?:\b[^:\n]{0,40})?:[\s*_`]*"
    r"|^[\W_]*(?:key[ -]?(?:words?|phrases?|terms?)|tags)[\W_]*$",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


def parse_verdict(final: str) -> tuple[bool | None, str]:
    """Read `Yes` or `No` at the very start of an answer, followed by a sign or a new line, and the rest.

    `Answer:` or `Verdict:` may stand before. Anything else has no verdict: `No doubt they like it` begins
    with No and means Yes.
    """
    found = _VERDICT.match(final)
    if found is None:
        return None, " ".join(plain(final).split())
    return found[1].lower() == "yes", plain(final[found.end() :])


class EndpointTeacher:
    """A reasoning model; thinking aloud is its reason only where its answer gives none."""

    def __init__(self, client: ChatClient) -> None:
        """Ask through `client`."""
        self._client = client
        self.name = f"endpoint:{client.endpoint.model}"
        self.concurrency = client.endpoint.concurrency

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        """Ask the model, with all that was said before as one conversation.

        Raises:
            TeacherError: the endpoint failed for good.
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
            reasoning = plain(reply.thinking)
        return Answer(verdict, reasoning, reply.text, reply.request_hash, reply.thinking, reply.cut)


class EndpointExtractor:
    """A language model that names an item's keywords.

    Args:
        client: the endpoint.
        dataset: name of the data set, left out of the keywords.
        most: most keywords an item.
        words: words of each field that are sent.
    """

    def __init__(self, client: ChatClient, dataset: str, most: int, words: int) -> None:
        """Ask through `client`."""
        self._client = client
        self._unwanted = boilerplate(dataset)
        self._most = most
        self._words = words
        self.name = f"endpoint:{client.endpoint.model}"

    def extract(self, items: Sequence[ItemFields]) -> list[list[str]]:
        """Give each item its keywords; an answer without any leaves the item without.

        Raises:
            TeacherError: the endpoint failed for good, or none of its first answers names a keyword.
        """
        found = ordered_map(
            self._one, items, self._client.endpoint.concurrency, "summarize: keywords", self._check
        )
        return [keywords for keywords, _ in found]

    def _check(self, found: list[tuple[list[str], Reply]]) -> None:
        if not any(keywords for keywords, _ in found):
            raise useless([reply for _, reply in found], "names a keyword", self._client.section)

    def _one(self, item: ItemFields) -> tuple[list[str], Reply]:
        prompt = template("teachers/keywords.j2").render(
            title=first_words(plain(item.title), self._words),
            description=first_words(plain(item.description), self._words),
            categories=[plain(name) for name in item.categories],
            most=self._most,
        )
        reply = self._client.ask([{"role": "user", "content": prompt.strip()}])
        lines = [_LIST_MARK.sub("", _HEADING.sub("", line)) for line in reply.text.splitlines()]
        words = [word for line in lines for word in re.split(r"[,;]", line)]
        if reply.cut:  # in the middle of the last one, for all we know
            words = words[:-1]
        return tidy(words, self._unwanted, self._most), reply

"""A keyword extractor behind a chat endpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence

from thinkrec.prompts.templates import template
from thinkrec.teachers.chat import ChatClient, Reply
from thinkrec.teachers.keywords import boilerplate, tidy
from thinkrec.teachers.parallel import ordered_map
from thinkrec.teachers.protocol import ItemFields
from thinkrec.teachers.text import first_words, sanitize
from thinkrec.teachers.trial import useless

_HEADING = re.compile(
    r"^(?:[^:\n]{0,60}?\b)?(?:key[ -]?(?:words?|phrases?|terms?)|tags?)(?:\b[^:\n]{0,40})?:[\s*_`]*"
    r"|^[\W_]*(?:key[ -]?(?:words?|phrases?|terms?)|tags)[\W_]*$",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


class EndpointExtractor:
    """A language model that lists an item's keywords.

    Args:
        client: sends the requests.
        dataset: name of the data set, which is excluded as a keyword.
        most: maximum number of keywords per item.
        words: maximum number of words sent of each field.
    """

    def __init__(self, client: ChatClient, dataset: str, most: int, words: int) -> None:
        """Keep the client; nothing is sent yet."""
        self._client = client
        self._unwanted = boilerplate(dataset)
        self._most = most
        self._words = words
        self.name = f"endpoint:{client.endpoint.model}"

    def extract(self, items: Sequence[ItemFields]) -> list[list[str]]:
        """Return the keywords of each item, none if the answer has none.

        Raises:
            TeacherError: the endpoint failed permanently, or none of its first answers has a keyword.
        """
        results = ordered_map(
            self._one, items, self._client.endpoint.concurrency, "summarize: keywords", self._check
        )
        return [keywords for keywords, _ in results]

    def _check(self, results: list[tuple[list[str], Reply]]) -> None:
        if not any(keywords for keywords, _ in results):
            raise useless([reply for _, reply in results], "names a keyword", self._client.section)

    def _one(self, item: ItemFields) -> tuple[list[str], Reply]:
        prompt = template("teachers/keywords.j2").render(
            title=first_words(sanitize(item.title), self._words),
            description=first_words(sanitize(item.description), self._words),
            categories=[sanitize(name) for name in item.categories],
            most=self._most,
        )
        reply = self._client.ask([{"role": "user", "content": prompt.strip()}])
        lines = [_LIST_MARK.sub("", _HEADING.sub("", line)) for line in reply.text.splitlines()]
        words = [word for line in lines for word in re.split(r"[,;]", line)]
        if reply.cut:  # possibly within the last keyword
            words = words[:-1]
        return tidy(words, self._unwanted, self._most), reply

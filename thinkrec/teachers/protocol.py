"""The protocols of keyword extractors and reasoning teachers, and their inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ItemFields:
    """An item's metadata; nothing in it depends on users.

    Args:
        title: the item's title.
        description: free text, "" if there is none.
        categories: the source's own genres or categories.
    """

    title: str
    description: str = ""
    categories: tuple[str, ...] = ()


class KeywordExtractor(Protocol):
    """Extracts keywords that say what an item is about."""

    @property
    def name(self) -> str:
        """The extractor's name in data and reports."""
        ...

    def extract(self, items: Sequence[ItemFields]) -> list[list[str]]:
        """Return the keywords of each item, best first, in the order of `items`; the lists may be empty."""
        ...


@dataclass(frozen=True)
class ItemView:
    """An item as a teacher sees it, its texts sanitised (see `text.sanitize`)."""

    title: str
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rated:
    """An item of the history and whether the user liked it."""

    item: ItemView
    liked: bool


@dataclass(frozen=True)
class Case:
    """One question to a teacher, without the target's label.

    Args:
        history: what the user rated before the target, oldest first.
        target: the item in question.
        key: identifies the row, to vary phrasings; no teacher reads it.
    """

    history: tuple[Rated, ...]
    target: ItemView
    key: str


@dataclass(frozen=True)
class Answer:
    """A teacher's answer.

    Args:
        verdict: whether the user would like the target; None if the text says neither Yes nor No.
        reasoning: the text after the verdict, white space folded; "" if there is none.
        text: the whole answer, to be quoted in later turns.
        request_hash: SHA-256 of the request.
        thinking: the reasoning trace.
        cut: the answer was cut off.
    """

    verdict: bool | None
    reasoning: str
    text: str
    request_hash: str
    thinking: str = ""
    cut: bool = False


@dataclass(frozen=True)
class Turn:
    """An earlier answer and the reply to it.

    Args:
        answer: the teacher's answer.
        reply: the message to the teacher.
        truth: the label that `reply` gives away, or None.
    """

    answer: Answer
    reply: str
    truth: bool | None


class ReasoningTeacher(Protocol):
    """Predicts whether a user would like an item, and explains why."""

    @property
    def name(self) -> str:
        """The teacher's name in data and reports."""
        ...

    @property
    def concurrency(self) -> int:
        """Maximum number of concurrent questions, from threads."""
        ...

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        """Answer `case`, given the earlier `turns` (empty at the first attempt)."""
        ...

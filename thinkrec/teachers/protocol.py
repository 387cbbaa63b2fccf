"""What a keyword extractor and a reasoning teacher are, and the plain values that pass to and from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ItemFields:
    """What an item's metadata say of it; nothing that any user did is in here.

    Args:
        title: the item's name.
        description: free text, "" where there is none.
        categories: the source's own genres or categories.
    """

    title: str
    description: str = ""
    categories: tuple[str, ...] = ()


class KeywordExtractor(Protocol):
    """Finds the words that tell what an item is about."""

    @property
    def name(self) -> str:
        """How data and reports call this extractor."""
        ...

    def extract(self, items: Sequence[ItemFields]) -> list[list[str]]:
        """Give each item its keywords, best first, in the order of `items`; none is an empty list."""
        ...


@dataclass(frozen=True)
class ItemView:
    """An item as a teacher sees it: plain text only (see `text.plain`)."""

    title: str
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """An item of the history and whether the user liked it."""

    item: ItemView
    liked: bool


@dataclass(frozen=True)
class Case:
    """One question to a teacher. The target's own label is not part of it.

    Args:
        history: what the user judged before the target's moment, oldest first.
        target: the item in question.
        key: names the row; it varies phrasings and is never shown.
    """

    history: tuple[Judged, ...]
    target: ItemView
    key: str


@dataclass(frozen=True)
class Answer:
    """What a teacher said.

    Args:
        verdict: would the user enjoy the target; None when the text says neither Yes nor No.
        reasoning: the words after the verdict, white space folded; "" when there are none.
        text: the answer as it is quoted back to the teacher.
        request_hash: SHA-256 of all that was asked.
        thinking: what the teacher thought aloud before.
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
    """An earlier answer and what the teacher was told about it.

    Args:
        answer: the answer.
        reply: the words put to the teacher.
        truth: the label that `reply` gives away; None when it gives none away.
    """

    answer: Answer
    reply: str
    truth: bool | None


class ReasoningTeacher(Protocol):
    """Says whether a user would enjoy an item, and why."""

    @property
    def name(self) -> str:
        """How data and reports call this teacher."""
        ...

    @property
    def concurrency(self) -> int:
        """Cases that may be put to it at once, from threads."""
        ...

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        """Answer `case`, knowing what was said in `turns` (empty at the first attempt)."""
        ...

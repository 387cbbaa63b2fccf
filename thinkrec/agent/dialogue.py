"""The agent's first message, and how its answer is parsed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thinkrec.agent.cases import Case
from thinkrec.agent.environment import LIKED
from thinkrec.agent.knowledge import Knowledge
from thinkrec.prompts.templates import template

Message = dict[str, Any]
PREFIX = "Ranking:"
_LINE = re.compile(rf"^\s*{PREFIX}(.*)$", re.MULTILINE)
_CALL = re.compile(r"</?tool_call>")


@dataclass(frozen=True)
class Ranking:
    """An agent's answer.

    Args:
        order: places of all candidates, best first.
        valid: one line of the requested form names each letter once and nothing else.
        completed: number of candidates missing from the answer; they follow in the order shown.
    """

    order: tuple[int, ...]
    valid: bool
    completed: int

    def rank(self, target: int) -> int:
        """Return the rank of the target, from 1."""
        return self.order.index(target) + 1


def first_message(
    knowledge: Knowledge,
    case: Case,
    history_length: int,
    turns: int,
    tools: bool = True,
    answers: Sequence[tuple[str, str]] = (),
) -> Message:
    """Return the user message that begins an episode.

    Args:
        knowledge: for titles and history.
        case: what to rank.
        history_length: number of latest interactions to show.
        turns: maximum number of turns with tool calls.
        tools: whether the agent has tools.
        answers: prefetched answers of tools, (name, answer).
    """
    rows = knowledge.past(case.user, case.moment)
    rows = rows[len(rows) - min(history_length, len(rows)) :]
    data = knowledge.data
    latest = [
        f"{LIKED[1 - int(data.label[row])]} {knowledge.title(int(data.item_id[row]))}" for row in rows[::-1]
    ]
    candidates = [
        (letter, knowledge.title(item)) for letter, item in zip(case.letters, case.items, strict=True)
    ]
    content = template("agent/first.j2").render(
        candidates=candidates, latest=latest, turns=turns, tools=tools, answers=list(answers)
    )
    return {"role": "user", "content": content.strip()}


def read_ranking(content: str, letters: str) -> Ranking | None:
    """Parse the last line `Ranking: C A ...` of an answer; return None if there is none.

    An answer is valid if it has one such line that names every letter once, separated by spaces, commas or >.
    Otherwise the first mention of a letter counts, anything else is ignored, and missing candidates follow in
    the order shown. Our choice.
    """
    lines = _LINE.findall(content)
    if not lines:
        return None
    parts = re.split(r"[\s,>]+", lines[-1].strip().rstrip("."))
    valid = len(lines) == 1 and sorted(parts) == sorted(letters)
    if not valid:
        parts = re.findall(r"\b[A-Z]\b", lines[-1])
    named = [letters.index(part) for part in dict.fromkeys(parts) if part in letters]
    return Ranking((*named, *_rest(named, letters)), valid, len(letters) - len(named))


def no_ranking(letters: str) -> Ranking:
    """Return the order shown, for an episode that ended without an answer."""
    return Ranking(tuple(range(len(letters))), False, len(letters))


def _rest(named: Sequence[int], letters: str) -> list[int]:
    return [place for place in range(len(letters)) if place not in named]


def malformed(content: str) -> bool:
    """Return whether a message contains parts of a tool call that could not be parsed."""
    return bool(_CALL.search(content))

"""What is said to the agent first, and how its answer is read."""

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
        order: places of all candidates, the best first.
        valid: each letter was named once, and nothing else, in one line of the asked form.
        completed: candidates that the answer lacked; they follow in the order shown.
    """

    order: tuple[int, ...]
    valid: bool
    completed: int

    def rank(self, target: int) -> int:
        """Rank of the target, from 1."""
        return self.order.index(target) + 1


def first_message(
    knowledge: Knowledge,
    case: Case,
    shown: int,
    turns: int,
    tools: bool = True,
    answers: Sequence[tuple[str, str]] = (),
) -> Message:
    """The user's message that begins an episode.

    Args:
        knowledge: for titles and history.
        case: what is to be ranked.
        shown: latest interactions that are told.
        turns: with tool calls.
        tools: whether there are any.
        answers: of tools, told at once: (name, answer).
    """
    rows = knowledge.past(case.user, case.moment)
    rows = rows[len(rows) - min(shown, len(rows)) :]
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
    """Read the last line `Ranking: C A ...` of an answer; None where there is none.

    Valid is an answer with one such line that names every letter once, parted by spaces, commas or >.
    Otherwise letters count where they are named first, what is no letter of a candidate is left out, and
    candidates that are not named follow in the order shown. Our choice.
    """
    lines = _LINE.findall(content)
    if not lines:
        return None
    said = re.split(r"[\s,>]+", lines[-1].strip().rstrip("."))
    valid = len(lines) == 1 and sorted(said) == sorted(letters)
    if not valid:
        said = re.findall(r"\b[A-Z]\b", lines[-1])
    named = [letters.index(part) for part in dict.fromkeys(said) if part in letters]
    return Ranking((*named, *_rest(named, letters)), valid, len(letters) - len(named))


def no_ranking(letters: str) -> Ranking:
    """The order shown, for an episode that ended without an answer."""
    return Ranking(tuple(range(len(letters))), False, len(letters))


def _rest(named: Sequence[int], letters: str) -> list[int]:
    return [place for place in range(len(letters)) if place not in named]


def malformed(content: str) -> bool:
    """Whether a message holds pieces of a tool call that could not be read as one."""
    return bool(_CALL.search(content))

"""Stop early if the first answers of a model are all useless."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol

from thinkrec.errors import TeacherError
from thinkrec.teachers.text import sanitize

FIRST = 20
"""Number of answers, in the order of the questions, after which a useless model is given up (our choice)."""


class Response(Protocol):
    """A model's response to one question: its final answer, its thinking, and whether it was cut off."""

    @property
    def text(self) -> str: ...

    @property
    def thinking(self) -> str: ...

    @property
    def cut(self) -> bool: ...


def useless(answers: Sequence[Response], wanted: str, section: str) -> TeacherError:
    """Return an error that says what useless answers have in common, and what to do.

    Args:
        answers: the first ones, all useless.
        wanted: what none of them does.
        section: the section of params.yaml that contains the endpoint.
    """
    texts = [text for answer in answers if (text := sanitize(answer.text))]
    cut, empty = sum(answer.cut for answer in answers), len(answers) - len(texts)
    thinking = sum(len(answer.thinking) for answer in answers) // len(answers)
    symptoms = []
    if cut:
        symptoms.append(f"{_count(cut, answers)} cut off")
    if empty:
        beside = f" while their thinking has {thinking} characters on average" if thinking else ""
        symptoms.append(f"{_count(empty, answers)} empty{beside}")
    if texts:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(min(texts), max(texts), strict=False))
        start = "".join(letter for letter, _ in same)[:40]
        if len(texts) > 1 and len(start) > 3:
            symptoms.append(f"they begin with '{start}'")
        symptoms.append(f"the first says '{texts[0][:120]}'")
    endpoint = f"{section}.endpoint"
    if cut:
        advice = f"raise {endpoint}.max_tokens_limit, or let the model think less"
    elif empty and thinking:
        advice = "configure the server's reasoning parser, or let the model think less"
    else:
        advice = f"choose another {endpoint}.model, or look into the server's log"
    if thinking:
        advice += f" ({endpoint}.extra_body: {{chat_template_kwargs: {{enable_thinking: false}}}} with Qwen3)"
    return TeacherError(
        f"none of the first {len(answers)} answers {wanted}: {', '.join(symptoms)}; {advice}; then run the "
        "same command again (all answers so far are kept)"
    )


def _count(count: int, answers: Sequence[Response]) -> str:
    return "all are" if count == len(answers) else f"{count} are"

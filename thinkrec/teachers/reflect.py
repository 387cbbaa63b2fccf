"""Reflection: a teacher answers, gets a hint if it was wrong, reflects, and answers again."""

from __future__ import annotations

from dataclasses import dataclass

from thinkrec.teachers.filter import hint_leak
from thinkrec.teachers.protocol import Answer, Case, ReasoningTeacher, Turn
from thinkrec.teachers.text import pick

WORDS = ("No", "Yes")
HINTS = (
    "The correct answer is {truth}. Reflect on what you overlooked in the history, then answer again.",
    "That contradicts the user's own rating, which means {truth}. Review the history, find what you "
    "underestimated, then answer again.",
    "In fact, the answer is {truth}. Which of the user's likes or dislikes did you miss? Answer again.",
    "The user's actual verdict was {truth}. Find the keywords or items that support it, then answer again.",
    "That is wrong: the answer is {truth}. Compare what the liked and the disliked items have in common, "
    "then answer again.",
)
NO_MENTION = " Write as if you had not been told: mention neither this message nor your earlier answer."
MALFORMED = ("no verdict", "cut off", "no reasoning")
"""Reasons for rejecting an answer that does not have the requested form."""
REMINDER = 'Begin your answer with "Yes." or "No.", then give the reason in a few sentences.'


@dataclass(frozen=True)
class Rationale:
    """The result of reflection for one row.

    Args:
        text: `Yes. <reasoning>` or `No. <reasoning>`, white space folded; "" without a verdict.
        attempts: number of answers requested.
        hinted: the final answer was given after a hint.
        rejected: why the rationale must not be used, or None.
        agreed: the last answer without a hint agreed with the label.
        answer: the final answer.
    """

    text: str
    attempts: int
    hinted: bool
    rejected: str | None
    agreed: bool
    answer: Answer


def _reply(answer: Answer, label: bool, key: tuple[object, ...]) -> Turn:
    if answer.verdict is None or (answer.cut and answer.verdict == label):
        return Turn(answer, REMINDER, None)
    return Turn(answer, pick(HINTS, *key).format(truth=WORDS[label]) + NO_MENTION, label)


def _rejection(answer: Answer, label: bool, case: Case) -> str | None:
    if answer.cut:
        return "cut off"
    if answer.verdict is None:
        return "no verdict"
    if not answer.reasoning:
        return "no reasoning"
    if answer.verdict != label:
        return "disagrees with the label"
    return hint_leak(answer.reasoning, [case.target.title, *(rated.item.title for rated in case.history)])


def reason_with(teacher: ReasoningTeacher, case: Case, label: bool, attempts: int, seed: int) -> Rationale:
    """Request a rationale until its verdict agrees with `label`, at most `attempts` times.

    The first question never contains the label. After a wrong answer, a hint gives it away, in one of several
    phrasings chosen by `seed` and the case; after an answer that is neither Yes nor No, or correct but cut
    off, a reminder only asks for the right form.

    Source: paper, section on synthesizing reasoning data; the filter is the spec's, its patterns our choice.
    """
    turns: list[Turn] = []
    agreed = False
    while True:
        answer = teacher.answer(case, tuple(turns))
        hinted = any(turn.truth is not None for turn in turns)
        if not hinted:
            agreed = answer.verdict == label
        if (answer.verdict == label and not answer.cut) or len(turns) + 1 >= attempts:
            break
        turns.append(_reply(answer, label, (seed, case.key, len(turns))))
    text = "" if answer.verdict is None else f"{WORDS[answer.verdict]}. {answer.reasoning}".strip()
    return Rationale(
        text=" ".join(text.split()),
        attempts=len(turns) + 1,
        hinted=hinted,
        rejected=_rejection(answer, label, case),
        agreed=agreed,
        answer=answer,
    )

"""The loop that every teacher goes through: answer, be told when that was wrong, reflect, answer again."""

from __future__ import annotations

from dataclasses import dataclass

from thinkrec.teachers.filter import betrayal
from thinkrec.teachers.protocol import Answer, Case, ReasoningTeacher, Turn
from thinkrec.teachers.text import pick

WORDS = ("No", "Yes")
HINTS = (
    "The correct answer is {truth}. Reflect on what you overlooked in the history, and answer again.",
    "That does not agree with what the user said: it is {truth}. Look at the history once more, find what "
    "you gave too little weight, and answer anew.",
    "In fact the answer is {truth}. Which of the user's likes or dislikes did you miss? Answer again.",
    "The user's own verdict was {truth}. Find the keywords or items that speak for it, then answer again.",
    "Not so: {truth} is right. Compare once more what the liked and the disliked items share, then answer.",
)
NO_MENTION = " Write it as if nobody had told you: mention neither this message nor your earlier answer."
FORMLESS = ("no verdict", "cut off", "no reasoning")
"""Why an answer is rejected that has not the form asked for."""
REMINDER = "Begin your answer with Yes. or No. and then give the reason in a few sentences."


@dataclass(frozen=True)
class Rationale:
    """What came out of the loop for one row.

    Args:
        text: `Yes. <reasoning>` or `No. <reasoning>`, white space folded; "" when nothing usable was said.
        attempts: answers asked for.
        hinted: the kept answer was given after the truth had been told.
        rejected: why the rationale must not be used, None when it may be.
        agreed: did the last answer given without a hint agree with the truth?
        answer: the kept one.
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
        return "disagrees with the truth"
    return betrayal(answer.reasoning, [case.target.title, *(seen.item.title for seen in case.history)])


def reason_with(teacher: ReasoningTeacher, case: Case, label: bool, attempts: int, seed: int) -> Rationale:
    """Ask for a rationale until its verdict agrees with `label` or `attempts` answers were given.

    The first question never holds the label. After a wrong answer the truth is told with one of several
    phrasings, chosen by `seed` and the case; after one that is neither Yes nor No, or right but cut off, only
    the form is asked for.

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
    said = "" if answer.verdict is None else f"{WORDS[answer.verdict]}. {answer.reasoning}".strip()
    return Rationale(
        text=" ".join(said.split()),
        attempts=len(turns) + 1,
        hinted=hinted,
        rejected=_rejection(answer, label, case),
        agreed=agreed,
        answer=answer,
    )

"""Concurrent requests, with answers in the order of the questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from multiprocessing.pool import ThreadPool
from typing import TypeVar

from thinkrec.progress import Bar
from thinkrec.teachers.trial import FIRST

Q = TypeVar("Q")
A = TypeVar("A")


def ordered_map(
    ask: Callable[[Q], A],
    questions: Sequence[Q],
    concurrency: int,
    what: str,
    check: Callable[[list[A]], None] | None = None,
) -> list[A]:
    """Apply `ask` to every question, at most `concurrency` at once; with threads, show a progress bar.

    The first error stops it, and pending questions are dropped. The pool's threads are daemons, so that
    neither an error nor Ctrl-C waits for pending answers.

    Args:
        ask: returns the answer to a question.
        questions: in order.
        concurrency: maximum number of threads; 1 uses none.
        what: title of the progress bar.
        check: called with the first 20 answers before the next question, and may raise; not called if there
            are fewer.
    """
    answers: list[A] = []
    alone = concurrency == 1 or len(questions) < 2
    with (
        Bar(total=len(questions), desc=what, unit="answer", disable=concurrency == 1, leave=None) as bar,
        nullcontext() if alone else ThreadPool(min(concurrency, len(questions))) as pool,
    ):
        for part in (questions[:FIRST], questions[FIRST:]) if check else (questions,):
            for answer in pool.imap(ask, part) if pool else map(ask, part):
                answers.append(answer)
                bar.update()
            if check and len(answers) == FIRST:
                check(answers)
    return answers

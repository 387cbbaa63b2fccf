"""Many questions at once, answers in the order of the questions."""

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
    """Apply `ask` to every question, at most `concurrency` at once; with threads, show a bar called `what`.

    The first error ends it: questions that were not begun are dropped. The pool's threads are daemons, so
    that neither an error nor Ctrl-C waits for answers under way. `check` is shown the first 20 answers before
    another question is put, and may raise; fewer are not shown.
    """
    found: list[A] = []
    alone = concurrency == 1 or len(questions) < 2
    with (
        Bar(total=len(questions), desc=what, unit="answer", disable=concurrency == 1, leave=None) as bar,
        nullcontext() if alone else ThreadPool(min(concurrency, len(questions))) as pool,
    ):
        for part in (questions[:FIRST], questions[FIRST:]) if check else (questions,):
            for answer in pool.imap(ask, part) if pool else map(ask, part):
                found.append(answer)
                bar.update()
            if check and len(found) == FIRST:
                check(found)
    return found

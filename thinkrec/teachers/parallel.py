"""Many questions at once, answers in the order of the questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import TypeVar

from tqdm import tqdm

Q = TypeVar("Q")
A = TypeVar("A")


def ordered_map(ask: Callable[[Q], A], questions: Sequence[Q], concurrency: int, what: str) -> list[A]:
    """Apply `ask` to every question, at most `concurrency` at once; with threads, show a bar called `what`.

    The first error ends it: questions that were not begun are dropped. The pool's threads are daemons, so
    that neither an error nor Ctrl-C waits for answers under way.
    """
    if concurrency == 1 or len(questions) < 2:
        return [ask(question) for question in tqdm(questions, desc=what, disable=concurrency == 1 or None)]
    with ThreadPool(min(concurrency, len(questions))) as pool:
        return list(tqdm(pool.imap(ask, questions), total=len(questions), desc=what, disable=None))

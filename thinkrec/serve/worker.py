"""One thread that asks the model: waiting questions by one batch, explanations between batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from thinkrec.errors import ThinkrecError
from thinkrec.serve.limits import Limits

if TYPE_CHECKING:
    from thinkrec.recommender import Recommender
    from thinkrec.systems.answers import Question


PAUSE = 0.001
"""Seconds without a further question after which a batch begins (our choice)."""


class BusyQueueError(ThinkrecError):
    """As many requests wait as may."""


class ClosedError(ThinkrecError):
    """The worker stops and takes nothing new."""


@dataclass(frozen=True, eq=False)
class Job:
    """A question that waits.

    Args:
        question: what is asked.
        rows: how many items are scored for it.
        explain: whether one item is explained.
        future: becomes `Scores` or `Explanation`, or the error.
    """

    question: Question
    rows: int
    explain: bool = False
    future: Future[Any] = field(default_factory=Future)

    @property
    def slow(self) -> bool:
        """Whether texts are generated, so that it is answered alone."""
        return self.explain or self.question.why


class Worker:
    """Answers questions in a thread of its own.

    Quick questions that wait are answered together. Slow ones, which generate texts, are answered one at a
    time, in turn with the batches: neither kind waits for more than one piece of work of the other.

    Args:
        rec: the trained system.
        limits: how many wait, and how many rows make a batch.
        watch: is told the numbers of questions and rows of each piece of work.
    """

    def __init__(
        self, rec: Recommender, limits: Limits, watch: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        """Start the thread."""
        self._rec, self._limits, self._watch = rec, limits, watch
        self._quick: deque[Job] = deque()
        self._slow: deque[Job] = deque()
        self._slow_was_last = True
        self._several = False
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._quick) + len(self._slow)

    def submit(self, job: Job) -> Future[Any]:
        """Let a question wait. Whoever cancels its future takes it back, unless it was begun.

        Raises:
            BusyQueueError: as many wait as may.
            ClosedError: the worker stops.
        """
        with self._changed:
            if self._closed:
                raise ClosedError("the server stops: ask again when it is back")
            if self.waiting >= self._limits.waiting:
                raise BusyQueueError(f"{self.waiting} requests wait already: ask again in a moment")
            (self._slow if job.slow else self._quick).append(job)
            self._changed.notify()
        job.future.add_done_callback(lambda future: self._forget(job) if future.cancelled() else None)
        return job.future

    def stop(self, seconds: float) -> bool:
        """Answer what waits, take nothing new, and end.

        Args:
            seconds: to wait for the end.

        Returns:
            Whether it ended.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _forget(self, job: Job) -> None:
        with self._changed, suppress(ValueError):
            (self._slow if job.slow else self._quick).remove(job)

    def _run(self) -> None:
        while jobs := self._next():
            begun = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if begun:
                self._watch(len(begun), sum(job.rows for job in begun))
                self._answer(begun)

    def _next(self) -> list[Job]:
        """Take the next piece of work; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.waiting)
        if self._several and not self._slow:
            self._gather()
        with self._changed:
            self._slow_was_last = bool(self._slow) and not (self._quick and self._slow_was_last)
            if self._slow_was_last:
                return [self._slow.popleft()]
            taken: list[Job] = []
            rows = 0
            while self._quick and (not taken or rows + self._quick[0].rows <= self._limits.rows):
                taken.append(self._quick.popleft())
                rows += taken[-1].rows
            self._several = len(taken) > 1
            return taken

    def _gather(self) -> None:
        """Wait while further questions arrive; only under load, so that a single client never waits."""
        end, last = time.monotonic() + self._limits.gather, 0
        while last < len(self._quick) and time.monotonic() < end:
            last = len(self._quick)
            time.sleep(PAUSE)

    def _answer(self, jobs: Sequence[Job]) -> None:
        try:
            answers = self._asked(jobs)
        except Exception as error:
            if len(jobs) == 1:
                _settle(jobs[0], error)
            else:  # find out whose it is: the others get their answers
                for job in jobs:
                    self._answer([job])
            return
        for job, answer in zip(jobs, answers, strict=True):
            _settle(job, answer)

    def _asked(self, jobs: Sequence[Job]) -> Sequence[object]:
        if not jobs[0].explain:
            return self._rec.answer([job.question for job in jobs])
        question = jobs[0].question
        (item,) = question.items or ()
        if question.history is not None:
            return [self._rec.explain_history(question.history, item)]
        return [self._rec.explain(str(question.user), item)]


def _settle(job: Job, answer: object) -> None:
    with suppress(InvalidStateError):
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)

"""One thread that asks the model: waiting questions by one batch, explanations between batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Any

from thinkrec.errors import ThinkrecError
from thinkrec.serve.limits import Limits
from thinkrec.systems.answers import Explanation
from thinkrec.wanted import UnwantedError, while_wanted

if TYPE_CHECKING:
    from thinkrec.recommender import Recommender
    from thinkrec.systems.answers import Question


STOPS = "the server stops: ask again when it is back"
PAUSE = 0.001
"""Seconds without a further question after which a batch begins (our choice)."""


class BusyQueueError(ThinkrecError):
    """As many requests of a kind wait as may."""


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
        left: set when nobody waits any more; work of a language model that was begun ends when all whom it is
            for have left.
    """

    question: Question
    rows: int
    explain: bool = False
    future: Future[Any] = field(default_factory=Future)
    left: Event = field(default_factory=Event)

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
        watch: is told the numbers of questions and of rows scored of each piece of work that was finished,
            before its answers.
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
        self._most = limits.rows_of(rec.name)
        self._begun: list[Job] = []
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs; it ends by `stop` alone."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._quick) + len(self._slow)

    def submit(self, job: Job) -> Future[Any]:
        """Let a question wait. Whoever cancels its future takes it back, unless it was begun; see `Job.left`.

        Raises:
            BusyQueueError: as many of its kind wait as may.
            ClosedError: the worker stops.
        """
        queue, most = self._queue(job), self._limits.slow if job.slow else self._limits.waiting
        with self._changed:
            if self._closed or not self.alive:
                raise ClosedError(STOPS)
            if len(queue) >= most:
                raise BusyQueueError(
                    f"{len(queue)} requests of this kind wait already: ask again in a moment"
                )
            queue.append(job)
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
        return not self.alive

    def give_up(self) -> None:
        """Take nothing new, and answer what waits or was begun by `ClosedError`."""
        with self._changed:
            self._closed = True
            for job in (*self._begun, *self._quick, *self._slow):
                _settle(job, ClosedError(STOPS))
                job.left.set()
            self._quick.clear()
            self._slow.clear()
            self._changed.notify()

    def _queue(self, job: Job) -> deque[Job]:
        return self._slow if job.slow else self._quick

    def _forget(self, job: Job) -> None:
        with self._changed, suppress(ValueError):
            self._queue(job).remove(job)

    def _run(self) -> None:
        try:
            while self._wait():
                if self._several and not self._slow:
                    self._gather()
                if jobs := self._begin():
                    self._answer(jobs)
        finally:  # whatever ended it, nobody waits in vain
            self.give_up()

    def _wait(self) -> bool:
        """Wait until something waits; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.waiting)
            return self.waiting > 0

    def _begin(self) -> list[Job]:
        """Begin the next piece of work; nothing where all that waited was taken back."""
        with self._changed:
            taken = self._take()
            self._begun = [job for job in taken if job.future.set_running_or_notify_cancel()]
            return self._begun

    def _take(self) -> list[Job]:
        self._slow_was_last = bool(self._slow) and not (self._quick and self._slow_was_last)
        if self._slow_was_last:
            return [self._slow.popleft()]
        taken: list[Job] = []
        rows = 0
        while self._quick and (not taken or rows + self._quick[0].rows <= self._most):
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
        answers: Sequence[object]
        try:
            with while_wanted(lambda: not all(job.left.is_set() for job in jobs)):
                answers = self._asked(jobs)
        except UnwantedError as error:
            for job in jobs:
                _settle(job, error)
            return
        except Exception as error:
            if len(jobs) > 1:  # find out whose it is: the others get their answers
                for job in jobs:
                    self._answer([job])
                return
            answers = [error]
        self._watch(len(jobs), sum(map(_scored, jobs, answers)))
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


def _scored(job: Job, answer: object) -> int:
    """How many rows were scored: for an explanation, the item and again with each interaction left out."""
    if isinstance(answer, Explanation) and answer.history:
        return 2 + len(answer.history)
    return job.rows


def _settle(job: Job, answer: object) -> None:
    with suppress(InvalidStateError):
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)

"""The worker: what waits is answered together, texts in turn with scores, and nothing is lost or mixed up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import pytest
from serving import StandIn

from thinkrec.errors import ModelError, RequestError
from thinkrec.serve.limits import Limits
from thinkrec.serve.worker import BusyQueueError, ClosedError, Job, Worker
from thinkrec.systems.answers import Question


def score(item: str = "i2", rows: int = 1, **more: object) -> Job:
    return Job(Question(history=[("i1", True)], items=[item], **more), rows)  # type: ignore[arg-type]


def explain(item: str = "i2") -> Job:
    return Job(Question(history=[("i1", True)], items=[item]), 1, explain=True)


def until(done: object) -> None:
    end = time.monotonic() + 10
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def held(rec: StandIn, limits: Limits | None = None) -> Iterator[Worker]:
    """A worker that is in the middle of an answer, until the block ends."""
    worker = Worker(rec, limits or Limits())  # type: ignore[arg-type]
    rec.go.clear()
    first = worker.submit(score("i14"))
    until(first.running)
    yield worker
    rec.go.set()
    assert worker.stop(10)


def test_what_waits_is_answered_together():
    rec = StandIn()
    with held(rec) as worker:
        jobs = [score(f"i{k}") for k in range(2, 7)]
        futures = [worker.submit(job) for job in jobs]
        assert worker.waiting == 5
    assert [len(batch) for batch in rec.batches] == [1, 5]
    assert [future.result().items for future in futures] == [(f"i{k}",) for k in range(2, 7)]


def test_a_batch_has_no_more_rows_than_the_limit_but_one_request_may():
    rec = StandIn()
    with held(rec, Limits(rows=10)) as worker:
        for rows in (4, 4, 4, 50, 1):
            worker.submit(score(rows=rows))
    assert [len(batch) for batch in rec.batches[1:]] == [2, 1, 1, 1]


def test_texts_take_turns_with_scores():
    rec = StandIn()
    with held(rec, Limits(rows=2)) as worker:
        for job in (
            explain("i3"),
            explain("i4"),
            score("i5", why=True),
            *(score(f"i{k}", 2) for k in (6, 7)),
        ):
            worker.submit(job)
    order = [batch[0].items[0] for batch in rec.batches[1:]]
    assert order == ["i3", "i6", "i4", "i7", "i5"]


def test_who_takes_a_question_back_frees_its_place():
    rec = StandIn()
    with held(rec, Limits(waiting=2)) as worker:
        lost, other = worker.submit(score("i3")), worker.submit(explain("i4"))
        with pytest.raises(BusyQueueError, match="2 requests wait already"):
            worker.submit(score("i5"))
        assert lost.cancel() and other.cancel()
        assert worker.waiting == 0
        kept = worker.submit(score("i5"))
    assert kept.result().items == ("i5",)
    with pytest.raises(CancelledError):
        lost.result()
    assert [batch[0].items[0] for batch in rec.batches] == ["i14", "i5"]


def test_one_that_was_begun_and_is_taken_back_harms_no_other():
    rec = StandIn()
    with held(rec) as worker:
        started = worker.submit(score("i3"))
    assert started.result()
    assert not started.cancel()


def test_errors_stay_with_their_question():
    rec = StandIn()
    with held(rec) as worker:
        good, wrong = worker.submit(score("i3")), worker.submit(score("i99"))
        lost = worker.submit(Job(Question(history=[], items=["i98"]), 1, explain=True))
    assert good.result().items == ("i3",)
    for future in (wrong, lost):
        with pytest.raises(RequestError, match=r"no item 'i9[89]'"):
            future.result()


def test_what_breaks_a_batch_is_found_and_the_others_are_answered():
    class Breaks(StandIn):
        def answer(self, questions):  # type: ignore[no-untyped-def]
            answers = super().answer(questions)
            if any("i13" in question.items for question in questions):
                raise ModelError("no finite number")
            return answers

    rec = Breaks()
    with held(rec) as worker:
        futures = [worker.submit(score(item)) for item in ("i2", "i13", "i4")]
    assert [futures[k].result().items for k in (0, 2)] == [("i2",), ("i4",)]
    with pytest.raises(ModelError):
        futures[1].result()


def test_a_stop_answers_what_waits_and_takes_nothing_new():
    rec = StandIn()
    with held(rec) as worker:
        waiting = [worker.submit(score()), worker.submit(explain())]
        stopping = threading.Thread(target=worker.stop, args=(10,))
        stopping.start()
        until(lambda: worker._closed)
        with pytest.raises(ClosedError, match="ask again when it is back"):
            worker.submit(score())
        assert not worker.stop(0.01)
    stopping.join(10)
    assert all(future.result() for future in waiting)


def test_it_tells_what_a_batch_held():
    seen: list[tuple[int, int]] = []
    rec = StandIn()
    worker = Worker(rec, Limits(), lambda *sizes: seen.append(sizes))  # type: ignore[arg-type]
    worker.submit(score(rows=7)).result(10)
    worker.submit(explain()).result(10)
    assert worker.stop(10) and seen == [(1, 7), (1, 1)]

"""The worker: what waits is answered together, texts in turn with scores, and nothing is lost or mixed up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import pytest
from serving import Slow, StandIn

from thinkrec.errors import ModelError, RequestError
from thinkrec.serve.limits import Limits
from thinkrec.serve.worker import PAUSE, BusyQueueError, ClosedError, Job, Worker
from thinkrec.systems.answers import Question
from thinkrec.wanted import UnwantedError


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


@pytest.mark.parametrize(
    ("system", "most"), [("gsasrec_labels", 51), ("mf", 51), ("gbdt", 51), ("tallrec", 1)]
)
def test_rankings_of_all_items_are_batched_where_no_language_model_scores_them(system, most):
    rec = StandIn()
    rec.name = system  # type: ignore[misc]
    with held(rec) as worker:
        for _ in range(60):
            worker.submit(score(rows=3883))  # the items of MovieLens-1M
    assert max(map(len, rec.batches)) == most


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
        lost, other = worker.submit(score("i3")), worker.submit(score("i4"))
        with pytest.raises(BusyQueueError, match="2 requests of this kind wait already"):
            worker.submit(score("i5"))
        assert lost.cancel() and other.cancel()
        assert worker.waiting == 0
        kept = worker.submit(score("i5"))
    assert kept.result().items == ("i5",)
    with pytest.raises(CancelledError):
        lost.result()
    assert [batch[0].items[0] for batch in rec.batches] == ["i14", "i5"]


def test_whoever_asks_for_texts_leaves_the_places_of_scores_free():
    with held(StandIn(), Limits(waiting=3, slow=2)) as worker:
        told = [worker.submit(explain()), worker.submit(score(why=True))]
        with pytest.raises(BusyQueueError, match="2 requests of this kind wait already"):
            worker.submit(explain())
        scored = [worker.submit(score()) for _ in range(3)]
        with pytest.raises(BusyQueueError, match="3 requests of this kind wait already"):
            worker.submit(score())
    assert all(future.result() for future in told + scored)


def test_questions_that_are_taken_back_at_any_moment_do_not_end_the_thread(monkeypatch):
    rec = StandIn()
    worker = Worker(rec, Limits())  # type: ignore[arg-type]
    worker._several = True  # so that the thread waits a moment before it takes the next question
    gather, lost = worker._gather, threading.Event()
    monkeypatch.setattr(worker, "_gather", lambda: (worker._quick[0].future.cancel(), gather(), lost.set()))
    with pytest.raises(CancelledError):
        worker.submit(score("i3")).result(10)
    assert lost.wait(10)
    monkeypatch.undo()
    for round_ in range(150):
        together = [worker.submit(score(f"i{k}")) for k in range(2, 5)]
        assert all(future.result(10) for future in together)
        taken_back = worker.submit(score("i9"))
        time.sleep(round_ % 8 * PAUSE / 4)
        taken_back.cancel()
    assert worker.alive and worker.submit(score("i5")).result(10).items == ("i5",)
    assert worker.stop(10) and not worker.alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_takes_no_questions_and_leaves_none_waiting():
    class Ends(StandIn):
        def answer(self, questions):  # type: ignore[no-untyped-def]
            super().answer(questions)
            raise SystemExit

    rec = Ends()
    rec.go.clear()
    worker = Worker(rec, Limits())  # type: ignore[arg-type]
    begun = worker.submit(score())
    until(begun.running)
    waiting = worker.submit(explain())
    rec.go.set()
    for future in (begun, waiting):
        with pytest.raises(ClosedError):
            future.result(10)
    until(lambda: not worker.alive)
    with pytest.raises(ClosedError):
        worker.submit(score())


def test_given_up_questions_get_an_error_and_a_late_answer_harms_nothing():
    with held(StandIn()) as worker:
        begun = list(worker._begun)
        waiting = [worker.submit(score()), worker.submit(explain())]
        worker.give_up()
        for future in (begun[0].future, *waiting):
            with pytest.raises(ClosedError, match="the server stops"):
                future.result(0)
        with pytest.raises(ClosedError):
            worker.submit(score())


def test_one_that_was_begun_and_is_taken_back_harms_no_other():
    rec = StandIn()
    with held(rec) as worker:
        started = worker.submit(score("i3"))
    assert started.result()
    assert not started.cancel()


def test_work_that_nobody_waits_for_any_more_ends():
    rec = Slow()
    with held(rec) as worker:
        first, second = score("i3"), score("i4")
        for job in (first, second):
            worker.submit(job)
        rec.go.set()
        until(lambda: rec.begun == 2)
        first.left.set()
        time.sleep(0.05)
        assert rec.ended == 0  # the second of the batch still waits
        second.left.set()
        until(lambda: rec.ended == 1)
        for job in (first, second):
            with pytest.raises(UnwantedError):
                job.future.result(10)
        assert worker.submit(score("i5")).result(10).items == ("i5",)


def test_given_up_work_that_was_begun_ends():
    rec = Slow()
    worker = Worker(rec, Limits())  # type: ignore[arg-type]
    begun = worker.submit(score("i3"))
    until(lambda: rec.begun)
    worker.give_up()
    with pytest.raises(ClosedError):
        begun.result(10)
    until(lambda: rec.ended == 1 and not worker.alive)


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
    worker.submit(explain()).result(10)  # the item, the item again, the item without the one interaction
    worker.submit(Job(Question(history=[], items=["i2"]), 1, explain=True)).result(10)
    assert worker.stop(10) and seen == [(1, 7), (1, 3), (1, 1)]

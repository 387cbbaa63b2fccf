"""A stand-in for a trained system whose answers are known, and a server on a free port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from thinkrec.errors import RequestError
from thinkrec.serve.limits import Limits
from thinkrec.serve.server import Server, bound
from thinkrec.serve.service import Service
from thinkrec.systems.answers import Explanation, Influence, Mixture, Question, Scores
from thinkrec.systems.ids import Ids
from thinkrec.systems.titles import Titles
from thinkrec.wanted import check_wanted

TITLES = [
    "Stars over Harbour (1990)", "Stars and Stones (1991)", "The Stars at Noon (1992)", "Deep Stars (1993)",
    "Harbour Lights (1994)", "The Old Harbour (1995)", "Stones of Winter (1996)", "Winter Garden (1997)",
    "The Winter Train (1998)", "Garden of Noon (1999)", "A Train to the Garden (2000)", "Noon (2001)",
    "Éclair of Winter (2002)", '<img src="https://example.com/x.png" onerror="alert(1)">' + " long" * 30,
]  # fmt: skip
"""Of the stand-in's items i1, i2, ...; an item is scored by the words that it shares with what was liked."""


class StandIn:
    """Answers like a `thinkrec.Recommender`, at once, unless it is told to wait.

    Args:
        titles: of the items i1, i2, ...
    """

    name = "thinkrec"
    dataset = "films"

    def __init__(self, titles: Sequence[str] = TITLES) -> None:
        raw = [f"i{number}" for number in range(1, len(titles) + 1)]
        self.items, self.users = Ids(["", *raw], "item"), Ids(["", "u1", "u2"], "user")
        self._titles = ["", *titles]
        self._search = Titles(self._titles, np.arange(len(self._titles))[::-1])
        self.histories = {"u1": [("i1", True), ("i7", False)], "u2": [("i10", True)]}
        self.go = threading.Event()
        """Whoever clears it holds every answer back."""
        self.go.set()
        self.begun = 0
        """Calls, those that are held back included."""
        self.batches: list[list[Question]] = []
        """The questions of each call, in order."""
        self.error: Exception | None = None

    def title(self, item: str) -> str:
        return self._titles[self.items.number(item)]

    def item(self, name: str) -> str:
        return name if name in self.items else f"i{self._search.number(name)}"

    def find(self, query: str, k: int = 10) -> list[tuple[str, str]]:
        return [(f"i{number}", self._titles[number]) for number in self._search.find(query, k)]

    def history(self, user: str) -> tuple[tuple[str, bool], ...]:
        self.users.number(user)
        return tuple(self.histories[user])

    def _score(self, history: Sequence[tuple[str, bool]], item: str) -> float:
        words = [set(self.title(other).lower().split()) for other, _ in history]
        own = set(self.title(item).lower().split())
        signs = [1 if liked else -1 for _, liked in history]
        shared = (sign * len(own & each) for sign, each in zip(signs, words, strict=True))
        return sum(shared) - 0.01 * self.items.number(item)

    def _past(self, question: Question) -> list[tuple[str, bool]]:
        if question.user is not None:
            return list(self.history(question.user))
        assert question.history is not None
        return list(question.history)  # type: ignore[arg-type]

    def _one(self, question: Question) -> Scores:
        history = self._past(question)
        items = question.items
        if items is None or isinstance(items, str):
            items = [item for item in self.items if item not in dict(history)]
        scores = [self._score(history, item) for item in items]
        order: Sequence[int] = range(len(items))
        if question.k:
            order = np.argsort(-np.array(scores), kind="stable")[: question.k].tolist()
        best = [items[k] for k in order]
        return Scores(
            self.name,
            self.dataset,
            question.user,
            "the history",
            tuple(best),
            tuple(map(self.title, best)),
            np.array([scores[k] for k in order], np.float32),
            Mixture((0.25, 0.75)),
            tuple(f"Yes. It is {self.title(item)}." for item in best) if question.why else None,
        )

    def answer(self, questions: Sequence[Question]) -> list[Scores | RequestError]:
        self.begun += 1
        self.go.wait()
        self.batches.append(list(questions))
        if self.error is not None:
            raise self.error
        answers: list[Scores | RequestError] = []
        for question in questions:
            try:
                answers.append(self._one(question))
            except RequestError as error:
                answers.append(error)
        return answers

    def explain(self, user: str, item: str) -> Explanation:
        return self._explained(Question(user, items=[item]))

    def explain_history(self, history: Any, item: str) -> Explanation:
        return self._explained(Question(history=history, items=[item]))

    def _explained(self, question: Question) -> Explanation:
        self.begun += 1
        self.go.wait()
        self.batches.append([question])
        one = self._one(question)
        (item,), history = one.items, self._past(question)
        score = self._score(history, item)
        moved = []
        for other, liked in history:
            without = self._score([pair for pair in history if pair[0] != other], item)
            moved.append(Influence(other, self.title(other), liked, score - without))
        moved.sort(key=lambda each: -abs(each.moved))
        reason = f'Yes. The user likes "{history[0][0]}".' if history else "Yes."
        return Explanation(
            self.name, self.dataset, question.user, one.basis, item, self.title(item), score, reason,
            tuple(moved), one.mixture,
        )  # fmt: skip


class Slow(StandIn):
    """Scores the item i3 batch by batch until nobody waits any more, as a language model would."""

    ended = 0

    def answer(self, questions: Sequence[Question]) -> list[Scores | RequestError]:
        if questions[0].items == ["i3"]:
            self.begun += 1
            try:
                while True:
                    check_wanted()
                    time.sleep(0.001)
            finally:
                self.ended += 1
        return super().answer(questions)


@contextmanager
def running(
    rec: Any,
    limits: Limits | None = None,
    token: str | None = None,
    candidates: str | None = None,
    encoders: Sequence[str] = (),
) -> Iterator[str]:
    """Serve a system in this process; gives the address."""
    service = Service(rec, limits or Limits(), candidates, encoders)
    ready = threading.Event()
    taken = bound("127.0.0.1", 0, token)
    server = Server(service, token, ready.set, "127.0.0.1")
    thread = threading.Thread(target=server.run, args=([taken],), daemon=True)
    thread.start()
    assert ready.wait(30)
    host, port = taken.getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive() and service.worker.stop(10)

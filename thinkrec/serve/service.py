"""What the routes share: requests become questions, which wait for the worker while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from thinkrec.errors import ConfigError, RequestError
from thinkrec.recommender import Recommender
from thinkrec.serve.limits import CANDIDATES, Limits
from thinkrec.serve.messages import ExplainRequest, RecommendRequest, ScoreRequest, Whose
from thinkrec.serve.metrics import Metrics
from thinkrec.serve.worker import Job, Worker
from thinkrec.systems.answers import Question
from thinkrec.systems.registry import SYSTEMS
from thinkrec.systems.shortlist import RETRIEVED, read_shortlist

T = TypeVar("T")
NAMED = 2
"""Threads that look up names: typing never takes all processors from the model."""


class Service:
    """What the routes share.

    Args:
        rec: the trained system.
        limits: of requests.
        candidates: default of /recommend, such as `lightgcn:50`; None for the system's own.
        encoders: whose best may be candidates.

    Raises:
        ConfigError: the default is not of that form, or its encoder is not there.
    """

    def __init__(
        self, rec: Recommender, limits: Limits, candidates: str | None, encoders: Collection[str]
    ) -> None:
        """Start the worker."""
        self.rec, self.limits, self.encoders = rec, limits, encoders
        self.candidates = None if candidates is None else checked_default(candidates, encoders)
        self.metrics = Metrics(lambda: self.worker.waiting)
        self.worker = Worker(rec, limits, self.metrics.batch)
        self._names = anyio.CapacityLimiter(NAMED)

    async def looked_up(self, find: Callable[..., T], *args: Any) -> T:
        """Call a function that looks up names, in another thread."""
        return await anyio.to_thread.run_sync(partial(find, *args), limiter=self._names)

    async def answer(
        self, request: Request, read: Callable[[Any], Question], asked: Whose, explain: bool = False
    ) -> Any:
        """Wait for an answer, as long as the client does.

        Raises:
            ClientLeftError: nobody waits any more.
            TimeoutError: it took too long. The question is taken back; see `Job.left`.
            RequestError: there is none.
            BusyQueueError: too many wait.
            ClosedError: the server stops.
        """
        async with asyncio.timeout(self.limits.seconds):
            question = read(asked) if self._known(asked) else await self.looked_up(read, asked)
            job = Job(question, self._rows(question), explain)
            waits = asyncio.wrap_future(self.worker.submit(job))
            left = asyncio.ensure_future(_left(request))
            try:
                await asyncio.wait((waits, left), return_when=asyncio.FIRST_COMPLETED)
                if not waits.done():
                    raise ClientLeftError
                return waits.result()
            finally:
                waits.cancel()
                job.left.set()
                left.cancel()

    def history(self, asked: Whose) -> list[tuple[str, bool]] | None:
        """Read a history that was handed in."""
        if asked.history is None:
            return None
        return [(self.rec.item(each.item), each.liked) for each in asked.history]

    def user(self, asked: Whose) -> str | None:
        """Read a user, who is one of the data set: nothing that is unknown waits for the worker."""
        return None if asked.user is None else self.rec.users.name(asked.user)

    def score(self, asked: ScoreRequest) -> Question:
        """Read a request."""
        return Question(self.user(asked), self.history(asked), [self.rec.item(name) for name in asked.items])

    def recommend(self, asked: RecommendRequest) -> Question:
        """Read a request."""
        among: str | list[str] | None = self.candidates
        if asked.candidates is not None:
            given = asked.candidates
            if isinstance(given, str):
                among = _checked(given, self.encoders, "candidates")
            else:
                among = [self.rec.item(name) for name in given]
        return Question(self.user(asked), self.history(asked), among, asked.k, asked.why)

    def explain(self, asked: ExplainRequest) -> Question:
        """Read a request."""
        return Question(self.user(asked), self.history(asked), [self.rec.item(asked.item)])

    def _known(self, asked: Whose) -> bool:
        """Whether a request names the user and all items by their ids: there are no names to look up."""
        names = [verdict.item for verdict in asked.history or ()]
        if isinstance(asked, ScoreRequest):
            names += asked.items
        elif isinstance(asked, ExplainRequest):
            names.append(asked.item)
        elif isinstance(asked, RecommendRequest) and isinstance(asked.candidates, list):
            names += asked.candidates
        known = asked.user is None or asked.user in self.rec.users
        return known and all(name in self.rec.items for name in names)

    def _rows(self, question: Question) -> int:
        """How many items are scored for a question, at most."""
        if question.items is None:
            return RETRIEVED if SYSTEMS[self.rec.name].kind == "language model" else len(self.rec.items)
        if isinstance(question.items, str):
            return int(question.items.partition(":")[2])
        return len(question.items)


def checked_default(candidates: str, encoders: Collection[str]) -> str:
    """Return the default of /recommend, such as `lightgcn:50`.

    Args:
        candidates: as --from gave it.
        encoders: that were trained.

    Raises:
        ConfigError: it is not of that form, its encoder was not trained, or the count is too high.
    """
    try:
        return _checked(candidates, encoders, "--from")
    except RequestError as error:
        raise ConfigError(str(error)) from None


def _checked(candidates: str, encoders: Collection[str], called: str) -> str:
    name, count = read_shortlist(candidates, called)
    if name not in encoders:
        there = ", ".join(encoders) or "none"
        raise RequestError(f"{called}: no encoder {name!r} was trained; trained are {there}")
    if count > CANDIDATES:
        raise RequestError(f"{called}: too many; ask for at most {CANDIDATES}")
    return f"{name}:{count}"


class ClientLeftError(Exception):
    """The client did not wait for the answer."""


async def _left(request: Request) -> None:
    """Return when the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

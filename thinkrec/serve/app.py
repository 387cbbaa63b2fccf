"""The routes: scores, rankings and explanations over HTTP, and the page on top of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from itertools import islice
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from thinkrec import __version__
from thinkrec.errors import ConfigError, RequestError, ThinkrecError
from thinkrec.recommender import Recommender
from thinkrec.serve.answers import GONE, error_response, response
from thinkrec.serve.guard import Guard
from thinkrec.serve.limits import CANDIDATES, FOUND, HISTORY, NAME, Limits
from thinkrec.serve.messages import (
    AboutAnswer,
    ErrorAnswer,
    ExplainAnswer,
    ExplainRequest,
    HealthAnswer,
    HistoryAnswer,
    Item,
    ItemsAnswer,
    Rated,
    RecommendRequest,
    ScoreRequest,
    ScoresAnswer,
    Shortlist,
    UsersAnswer,
    Whose,
)
from thinkrec.serve.metrics import Metrics
from thinkrec.serve.worker import BusyQueueError, ClosedError, Job, Worker
from thinkrec.systems.answers import Question
from thinkrec.systems.registry import SYSTEMS

T = TypeVar("T")
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Files of the page, which need no token: it asks for it."""
NAMED = 2
"""Threads that look up names: typing never takes all processors from the model."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in (
        (401, "The token is missing or wrong."),
        (413, "The body is too large."),
        (422, "The request can't be answered: an unknown id, a value out of bounds."),
        (503, "Too many requests wait, or the server stops; see Retry-After."),
        (504, "No answer within the time limit."),
    )
}


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
        self.rec, self.limits, self.candidates, self.encoders = rec, limits, candidates, encoders
        if candidates is not None:
            try:
                self._check(TypeAdapter(Shortlist).validate_python(candidates))
            except (RequestError, ValidationError):
                names = ", ".join(encoders)
                raise ConfigError(
                    f"--from: {candidates[:80]!r} is no trained encoder with a count up to {CANDIDATES}, "
                    f"such as lightgcn:50; trained are {names or 'none'}"
                ) from None
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
            TimeoutError: it took too long. The question is taken back, unless it was begun.
            RequestError: there is none.
            BusyQueueError: too many wait.
            ClosedError: the server stops.
        """
        async with asyncio.timeout(self.limits.seconds):
            question = read(asked) if self._by_ids(asked) else await self.looked_up(read, asked)
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
                left.cancel()

    def history(self, asked: Whose) -> list[tuple[str, bool]] | None:
        """Read a history that was handed in."""
        if asked.history is None:
            return None
        return [(self.rec.item(each.item), each.liked) for each in asked.history]

    def score(self, asked: ScoreRequest) -> Question:
        """Read a request."""
        return Question(asked.user, self.history(asked), [self.rec.item(name) for name in asked.items])

    def recommend(self, asked: RecommendRequest) -> Question:
        """Read a request."""
        among: str | list[str] | None = self.candidates
        if asked.candidates is not None:
            given = asked.candidates
            among = self._check(given) if isinstance(given, str) else [self.rec.item(name) for name in given]
        return Question(asked.user, self.history(asked), among, asked.k, asked.why)

    def explain(self, asked: ExplainRequest) -> Question:
        """Read a request."""
        return Question(asked.user, self.history(asked), [self.rec.item(asked.item)])

    def _by_ids(self, asked: Whose) -> bool:
        """Whether a request names all items by their ids: there is nothing to look up among titles."""
        names = [verdict.item for verdict in asked.history or ()]
        if isinstance(asked, ScoreRequest):
            names += asked.items
        elif isinstance(asked, ExplainRequest):
            names.append(asked.item)
        elif isinstance(asked, RecommendRequest) and isinstance(asked.candidates, list):
            names += asked.candidates
        return all(name in self.rec.items for name in names)

    def _check(self, candidates: str) -> str:
        """Check an encoder and a count.

        Raises:
            RequestError: the encoder was not trained, or the count is too high.
        """
        name, _, count = candidates.partition(":")
        if name not in self.encoders:
            there = ", ".join(self.encoders) or "none"
            raise RequestError(f"candidates: no encoder {name!r} was trained; trained are {there}")
        if int(count) > CANDIDATES:
            raise RequestError(f"candidates: {count} are too many; ask for at most {CANDIDATES}")
        return candidates

    def _rows(self, question: Question) -> int:
        """How many items are scored for a question."""
        if question.items is None:
            return len(self.rec.items)
        if isinstance(question.items, str):
            return int(question.items.partition(":")[2])
        return len(question.items)


class ClientLeftError(Exception):
    """The client did not wait for the answer."""


async def _left(request: Request) -> None:
    """Return when the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_app(service: Service, token: str | None = None) -> ASGIApp:
    """Put the routes together, behind the guard.

    Args:
        service: what they share.
        token: what requests must carry; None: only this machine is answered.
    """
    app = FastAPI(
        title="thinkrec",
        version=__version__,
        description="Scores, rankings and explanations of a trained recommender.",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    rec = service.rec

    @app.post("/score", response_model=ScoresAnswer, responses=ERRORS)
    async def score(asked: ScoreRequest, request: Request) -> Response:
        """Score items, in their order."""
        return response(ScoresAnswer.of(await service.answer(request, service.score, asked)))

    @app.post("/recommend", response_model=ScoresAnswer, responses=ERRORS)
    async def recommend(asked: RecommendRequest, request: Request) -> Response:
        """Rank candidates that are not in the history, best first."""
        return response(ScoresAnswer.of(await service.answer(request, service.recommend, asked)))

    @app.post("/explain", response_model=ExplainAnswer, responses=ERRORS)
    async def explain(asked: ExplainRequest, request: Request) -> Response:
        """Score one item, say why, and what of the history moved the score."""
        return response(ExplainAnswer.of(await service.answer(request, service.explain, asked, True)))

    @app.get("/items", response_model=ItemsAnswer, responses=ERRORS)
    async def items(
        query: Annotated[str, Query(max_length=NAME, description="Beginnings of words.")] = "",
        k: Annotated[int, Query(ge=1, le=FOUND)] = 10,
    ) -> Response:
        """Find items by words of their titles, as somebody types them."""
        found = await service.looked_up(rec.find, query, k)
        return response(ItemsAnswer(items=[Item(item=item, title=title) for item, title in found]))

    @app.get("/users", response_model=UsersAnswer, responses=ERRORS)
    async def users(
        query: Annotated[str, Query(max_length=NAME, description="Beginning of a raw id.")] = "",
        k: Annotated[int, Query(ge=1, le=FOUND)] = 10,
    ) -> Response:
        """Find users of the data set by the beginning of their ids."""

        def find() -> list[str]:
            return list(islice((user for user in rec.users if user.startswith(query)), k))

        return response(UsersAnswer(users=await service.looked_up(find)))

    @app.get("/history", response_model=HistoryAnswer, responses=ERRORS)
    async def history(user: Annotated[str, Query(min_length=1, max_length=NAME)]) -> Response:
        """Show the latest interactions of a user of the data set, oldest first."""

        def read() -> list[Rated]:
            return [
                Rated(item=item, title=rec.title(item), liked=liked)
                for item, liked in rec.history(user)[-HISTORY:]
            ]

        return response(HistoryAnswer(user=user, history=await service.looked_up(read)))

    @app.get("/about", response_model=AboutAnswer, responses=ERRORS)
    async def about() -> Response:
        """Say what answers."""
        system = SYSTEMS[rec.name]
        return response(
            AboutAnswer(
                system=rec.name,
                dataset=rec.dataset,
                kind=system.kind,
                reasons=system.reasons,
                candidates=service.candidates,
                items=len(rec.items),
                users=len(rec.users),
            )
        )

    @app.get("/health", response_model=HealthAnswer)
    async def health() -> Response:
        """Say that the server answers. Needs no token."""
        return response(HealthAnswer(status="ok", token=token is not None))

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Show what was counted, in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for path, (name, kind) in PAGE.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False, response_class=Response)
    _add_errors(app, service.limits)
    routes = [route.path for route in app.routes if isinstance(route, Route)]
    return Guard(app, service.limits, service.metrics, routes, token, ["/health", *PAGE])


def _file(name: str, kind: str) -> Callable[[Request], Any]:
    """A route that gives a file of the page, which browsers ask for again only where it changed."""
    content = files("thinkrec.serve").joinpath("page", name).read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"', "Cache-Control": "no-cache"}

    async def give(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return give


def _add_errors(app: FastAPI, limits: Limits) -> None:
    """Answer every error by one sentence."""

    @app.exception_handler(RequestError)
    async def wrong(_: Request, error: RequestError) -> Response:
        return error_response(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return error_response(HTTPStatus.UNPROCESSABLE_ENTITY, _sentence(error))

    @app.exception_handler(BusyQueueError)
    @app.exception_handler(ClosedError)
    async def busy(_: Request, error: ThinkrecError) -> Response:
        return error_response(HTTPStatus.SERVICE_UNAVAILABLE, str(error), **{"Retry-After": "1"})

    @app.exception_handler(ClientLeftError)
    async def left(_: Request, __: ClientLeftError) -> Response:
        return Response(status_code=GONE)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log says where")

    @app.exception_handler(TimeoutError)
    async def late(_: Request, __: TimeoutError) -> Response:
        text = (
            f"no answer within {limits.seconds:g} s: ask about fewer items, or when the server is less busy"
        )
        return error_response(HTTPStatus.GATEWAY_TIMEOUT, text)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        return error_response(status, f"{status.phrase.lower()}: /openapi.json describes the routes")


def _sentence(error: RequestValidationError) -> str:
    """Say what is wrong with a request, without what it said."""
    found = []
    for each in error.errors()[:3]:
        where = ".".join(str(part)[:40] for part in each["loc"][1:] if each["type"] != "json_invalid")
        text = each["msg"].removeprefix("Value error, ")
        found.append(f"{where}: {text}" if where else text)
    return "; ".join(found)

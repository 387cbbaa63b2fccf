"""The routes: scores, rankings and explanations over HTTP, and the page on top of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from itertools import islice
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from thinkrec import __version__
from thinkrec.errors import RequestError, ThinkrecError
from thinkrec.serve.answers import GONE, NO_ROUTE, RETRY, error_response, response
from thinkrec.serve.faults import words
from thinkrec.serve.guard import Guard
from thinkrec.serve.limits import HISTORY, Limits
from thinkrec.serve.messages import (
    BRANCHES,
    AboutAnswer,
    ErrorAnswer,
    ExplainAnswer,
    ExplainRequest,
    HealthAnswer,
    HistoryAnswer,
    HistoryQuery,
    Item,
    ItemsAnswer,
    ItemsQuery,
    Rated,
    RecommendRequest,
    ScoreRequest,
    ScoresAnswer,
    UsersAnswer,
    UsersQuery,
)
from thinkrec.serve.service import ClientLeftError, Service
from thinkrec.serve.worker import BusyQueueError, ClosedError
from thinkrec.systems.registry import SYSTEMS

PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Files of the page, which need no token: it asks for it."""
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


def make_app(service: Service, token: str | None, host: str) -> ASGIApp:
    """Put the routes together, behind the guard.

    Args:
        service: what they share.
        token: what requests must carry; None: only this machine is answered.
        host: as which it is asked without a token, besides the names of this machine.
    """
    app = FastAPI(
        title="thinkrec",
        version=__version__,
        description="Scores, rankings and explanations of a trained recommender.",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    _add_questions(app, service)
    _add_names(app, service)
    _add_state(app, service, token is not None)
    for path, (name, kind) in PAGE.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False, response_class=Response)
    _add_errors(app, service.limits)
    routes = {route.path: route.methods or () for route in app.routes if isinstance(route, Route)}
    return Guard(app, service.limits, service.metrics, routes, token, ["/health", *PAGE], host)


def _add_questions(app: FastAPI, service: Service) -> None:
    """Add what the model answers."""

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


def _add_names(app: FastAPI, service: Service) -> None:
    """Add what is looked up in the data set."""
    rec = service.rec

    @app.get("/items", response_model=ItemsAnswer, responses=ERRORS)
    async def items(asked: Annotated[ItemsQuery, Query()]) -> Response:
        """Find items by words of their titles, as somebody types them."""
        found = await service.looked_up(rec.find, asked.query, asked.k)
        return response(ItemsAnswer(items=[Item(item=item, title=title) for item, title in found]))

    @app.get("/users", response_model=UsersAnswer, responses=ERRORS)
    async def users(asked: Annotated[UsersQuery, Query()]) -> Response:
        """Find users of the data set by the beginning of their ids."""

        def find() -> list[str]:
            return list(islice((user for user in rec.users if user.startswith(asked.query)), asked.k))

        return response(UsersAnswer(users=await service.looked_up(find)))

    @app.get("/history", response_model=HistoryAnswer, responses=ERRORS)
    async def history(asked: Annotated[HistoryQuery, Query()]) -> Response:
        """Show the latest interactions of a user of the data set, oldest first."""

        def read() -> HistoryAnswer:
            user = rec.users.name(asked.user)
            latest = rec.history(user)[-HISTORY:]
            rated = [Rated(item=item, title=rec.title(item), liked=liked) for item, liked in latest]
            return HistoryAnswer(user=user, history=rated)

        return response(await service.looked_up(read))


def _add_state(app: FastAPI, service: Service, token: bool) -> None:
    """Add what is said of the server itself; `token`: whether it asks for one."""

    @app.get("/about", response_model=AboutAnswer, responses=ERRORS)
    async def about() -> Response:
        """Say what answers."""
        rec = service.rec
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

    @app.get("/health", response_model=HealthAnswer, responses={503: ERRORS[503]})
    async def health() -> Response:
        """Say that the server answers, and the model behind it. Needs no token."""
        if not service.worker.alive:
            text = "the thread that asks the model ended: start the server again; its log says more"
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return response(HealthAnswer(status="ok", token=token))

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Show what was counted, in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


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
        return error_response(HTTPStatus.SERVICE_UNAVAILABLE, str(error), **RETRY)

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
        return error_response(status, NO_ROUTE.format(status.phrase.lower()), **dict(error.headers or {}))


def _sentence(error: RequestValidationError) -> str:
    """Say what is wrong with a request, without what it said."""
    found = []
    for each in error.errors()[:3]:
        parts = [] if each["type"] == "json_invalid" else each["loc"][1:]
        where = ".".join(str(part)[:40] for part in parts if part not in BRANCHES)
        if parts:
            found.append(f"{where}: {words(each)}")
        elif each["type"] == "missing":
            found.append("the body is missing")
        else:
            found.append(words(each) if each["type"] == "value_error" else f"the body {words(each)}")
    return "; ".join(found)

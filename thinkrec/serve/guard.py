"""What stands before all routes: who may ask, how much may arrive, what browsers and the log are told."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Collection, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thinkrec.serve.answers import GONE, JSON, NO_ROUTE, RETRY, error_response
from thinkrec.serve.limits import Limits
from thinkrec.serve.metrics import Metrics
from thinkrec.serve.worker import STOPS

log = logging.getLogger(__name__)
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
ASKED_AS = {"HEAD": "GET"}
"""Methods that routes are asked for another by; uvicorn leaves the body of an answer to HEAD out."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
READ_ON = 4
"""Times the limit up to which a body is read before it is refused: else clients that send lose the answer."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Sent with every answer. Nothing is cached unless a route says so."""


class Refused(Exception):  # noqa: N818 - it becomes an answer
    """A request that goes no further."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        """Keep what is answered."""
        super().__init__(error)
        self.status, self.error, self.headers = status, error, headers


class Guard:
    """An ASGI application around another.

    Args:
        app: to which requests go on, each with its whole body.
        limits: of bodies and of the time in which they arrive.
        metrics: count requests.
        routes: methods of each path. Log and metrics name these paths; others are `other`.
        token: what requests must carry; None for no token.
        public: paths that need no token.
        host: as which the server is asked without a token, besides the names of this machine.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        routes: Mapping[str, Collection[str]],
        token: str | None,
        public: Collection[str],
        host: str,
    ) -> None:
        """Keep them."""
        self._hosts = frozenset((*LOOPBACK, host.lower()))
        self._app, self._limits, self._metrics = app, limits, metrics
        self._public = frozenset(public)
        self._routes = {path: _allowed(methods) for path, methods in routes.items()}
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        start, status = time.perf_counter(), GONE

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in {"Cache-Control": "no-store", **HEADERS}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(scope, receive, sent)
        except asyncio.CancelledError:  # the server ends
            if status == GONE:
                stops = error_response(HTTPStatus.SERVICE_UNAVAILABLE, STOPS, **RETRY)
                await stops(scope, receive, sent)
        except Exception as error:  # whoever is above would log what it says
            log.error("%s %s: %s", *self._named(scope), _place(error))
        finally:
            method, route = self._named(scope)
            seconds = time.perf_counter() - start
            self._metrics.request(method, route, status, seconds)
            log.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
            body = await self._body(scope, receive)
            if body is not None:
                method = ASKED_AS.get(scope["method"], scope["method"])
                await self._app({**scope, "method": method}, _with(body, receive), send)
        except Refused as refused:
            await error_response(refused.status, refused.error, **refused.headers)(scope, receive, send)

    def _named(self, scope: Scope) -> tuple[str, str]:
        """Method and route, where they are known ones: what else a client writes is not kept."""
        method, path = scope["method"], scope["path"]
        return method if method in METHODS else "other", path if path in self._routes else "other"

    def _check(self, scope: Scope) -> None:
        """Refuse whom the server does not answer.

        Without a token only pages of this machine are answered, by the address they were loaded from: a
        page of another site, whatever name it gives this machine, is not. With one, no other page has it.

        Raises:
            Refused: the token, the host, the origin or the method is wrong, or the body no JSON.
        """
        headers = Headers(scope=scope)
        if self._token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            same = hmac.compare_digest(given.strip().encode(), self._token)
            if scope["path"] not in self._public and not (same and scheme.lower() == "bearer"):
                raise Refused(
                    HTTPStatus.UNAUTHORIZED,
                    "a token is needed: send the header `Authorization: Bearer TOKEN`",
                    **{"WWW-Authenticate": "Bearer"},
                )
        else:
            host, name = _host(f"http://{headers.get('host', '')}")
            origin = headers.get("origin")
            if name not in self._hosts or (origin is not None and _host(origin)[0] != host):
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "without a token only this machine is answered, at the address that `serve` printed",
                )
        allowed = self._routes.get(scope["path"])
        if allowed is None:  # the routes answer that there is nothing
            return
        if scope["method"] not in allowed:
            status = HTTPStatus.METHOD_NOT_ALLOWED
            raise Refused(status, NO_ROUTE.format(status.phrase.lower()), Allow=", ".join(allowed))
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != JSON:
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send JSON, with the header `Content-Type: {JSON}`"
            )

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Read the whole body; None where the client left.

        Raises:
            Refused: it is too large or too slow.
        """
        most = self._limits.body
        too_large = Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has more than {most:,} bytes: send less",
            Connection="close",
        )
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and (len(length) > 18 or int(length) > READ_ON * most):
            raise too_large
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(self._limits.arrival):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= most:
                        body += part
                    ends = not message.get("more_body", False)
                    if size > (most if ends else READ_ON * most):
                        raise too_large
                    if ends:
                        return bytes(body)
        except TimeoutError:
            raise Refused(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not arrive within {self._limits.arrival:g} s",
                Connection="close",
            ) from None


def _allowed(methods: Collection[str]) -> list[str]:
    """Methods of a route, with those that it is asked for by them."""
    return sorted({*methods, *(name for name, other in ASKED_AS.items() if other in methods)})


def _with(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read, then what comes after it."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _host(address: str) -> tuple[str, str]:
    """Host with port, and the name alone, of an address; empty where it says more or can't be read."""
    try:
        split = urlsplit(address)
        if split.path or split.query or split.fragment or "@" in split.netloc:
            return "", ""
        return split.netloc.lower(), split.hostname or ""
    except ValueError:
        return "", ""


def _place(error: Exception) -> str:
    """The kind of an error and where it was raised; not its text, which may quote a request."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"

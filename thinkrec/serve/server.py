"""Start a server, and stop it gracefully."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from thinkrec.config.names import ENCODERS
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout, require
from thinkrec.serve.answers import RETRY, error_response
from thinkrec.serve.app import make_app
from thinkrec.serve.guard import HEADERS
from thinkrec.serve.limits import Limits
from thinkrec.serve.service import Service
from thinkrec.teachers.redact import hide

log = logging.getLogger(__name__)
TOKEN = "THINKREC_TOKEN"
MIN_TOKEN = 16
"""Characters of a token, since attempts to guess it are not limited. Our choice."""
READERS = ("gsasrec_labels", "sasrec_labels", "gsasrec", "sasrec")
"""Encoders that read a history, so that they know a new user, too; those that read verdicts first."""
SWITCH = 0.0005
"""Seconds after which the worker's thread lets requests be read: Python's 5 ms would hold all of them up."""
TICK = 0.05
"""Seconds between looks whether a stop has to come to its end."""
FAREWELL = 0.5
"""Seconds in which the last answers are sent at a stop."""
SHORTLIST = 50
"""Candidates that an encoder hands to a language model: a quarter of 200's time (our choice)."""


class Server(uvicorn.Server):
    """A server that ends with exit code 0 when it is told to.

    Args:
        service: that answers.
        token: that requests must carry, or None.
        ready: called when it answers.
        host: as which it is asked, besides the names of this machine.
    """

    def __init__(self, service: Service, token: str | None, ready: Callable[[], None], host: str) -> None:
        """Put the routes together."""
        super().__init__(uvicorn.Config(make_app(service, token, host), **settings(service.limits)))
        self._service, self._ready = service, ready
        self._at_once = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is in progress, as long as it may take."""
        ends = asyncio.ensure_future(self._give_up())
        await super().shutdown(sockets)
        ends.cancel()

    async def _give_up(self) -> None:
        """At the deadline, or at the second signal, answer what is in progress by an error, and end."""
        end = time.monotonic() + self._service.limits.drain
        while time.monotonic() < end and not self._at_once:
            await asyncio.sleep(TICK)
        self._service.worker.give_up()
        await asyncio.sleep(FAREWELL)
        self.force_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish what is in progress; at the second signal, at once."""
        self._at_once = self.should_exit
        self.should_exit = True


class Connection(H11Protocol):
    """A connection on which a request has to arrive in time, or it is closed; so is one too many.

    Args:
        arrival: seconds from its first byte, or from the connection's start, to the end of its headers.
        most: how many may be open.
    """

    def __init__(self, *args: Any, arrival: float, most: int, **kwargs: Any) -> None:
        """Keep them."""
        super().__init__(*args, **kwargs)
        self._arrival, self._most = arrival, most
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            text = f"{self._most} connections are open already: ask again in a moment"
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, text, RETRY)
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what arrives."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(HTTPStatus.BAD_REQUEST, "this is not an HTTP request, or its head is too long", {})
        else:  # in the middle of an answer
            self.transport.close()

    def _refuse(self, status: HTTPStatus, error: str, headers: Mapping[str, str]) -> None:
        answer = error_response(status, error, **headers, Connection="close", **HEADERS)
        head = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
        line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        self.transport.write(line + head + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _wait(self) -> None:
        waits = self.conn.their_state is h11.IDLE
        if waits and self._end is None:
            self._end = self.loop.call_later(self._arrival, self.transport.close)
        elif not waits and self._end is not None:
            self._end.cancel()
            self._end = None


def read_token() -> str | None:
    """Return the token of the environment, masked in every message from now on; None where there is none.

    Raises:
        ConfigError: it can't be sent in a header, or is short enough to be guessed.
    """
    token = os.environ.get(TOKEN)
    if not token:
        return None
    hide(token)
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(f"{TOKEN}: use ASCII letters, digits and signs, without spaces")
    if len(token) < MIN_TOKEN:
        raise ConfigError(
            f"{TOKEN}: use at least {MIN_TOKEN} characters, since attempts to guess it are not limited; "
            "`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"
        )
    return token


def bound(host: str, port: int, token: str | None) -> socket.socket:
    """Take an address.

    Args:
        host: name or address.
        port: 0 for a free one.
        token: that requests must carry, or None.

    Raises:
        ConfigError: it can't be taken, or reaches beyond this machine without a token.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise ConfigError(f"--host: {host!r} is not a name or address of this machine") from None
    if token is None and not ipaddress.ip_address(str(address[0])).is_loopback:
        raise ConfigError(
            f"--host {host} lets other machines ask: set the environment variable {TOKEN} to a token "
            "that they must send, or leave --host out"
        )
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"port {port} of {host} can't be taken ({error.strerror}): choose another by --port"
        ) from None
    return taken


def trained(layout: Layout) -> tuple[str, ...]:
    """Names of the encoders that were trained."""
    return tuple(name for name in ENCODERS if layout.encoder(name).exists())


def shortlist(layout: Layout, encoder: str) -> str:
    """Choose which candidates a language model ranks: the best of an encoder that knows the most users.

    Args:
        layout: where trained encoders lie.
        encoder: of `cluster.encoder`, where none that reads histories was trained.

    Raises:
        MissingInputError: that was not trained either.
    """
    there = trained(layout)
    name = next((name for name in READERS if name in there), encoder)
    require(layout, f"encoders/{name}")
    return f"{name}:{SHORTLIST}"


def settings(limits: Limits) -> dict[str, Any]:
    """Arguments of `uvicorn.Config`. Only `Guard` writes to the log what was asked."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # connections take half of them at most
    return {
        "http": partial(Connection, arrival=limits.arrival, most=min(limits.connections, files // 2)),
        "backlog": min(128, files // 8),  # so many are accepted before the first is closed
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": math.ceil(limits.drain + 2 * FAREWELL),  # it is over before
        "h11_max_incomplete_event_size": limits.head,
    }


def serve(
    service: Service,
    taken: socket.socket,
    token: str | None,
    ready: Callable[[], None],
    host: str = "127.0.0.1",
) -> None:
    """Answer requests until SIGTERM or SIGINT; then finish those in progress.

    Args:
        service: that answers.
        taken: the address.
        token: that requests must carry, or None.
        ready: called when it answers.
        host: name of the address.
    """
    sys.setswitchinterval(SWITCH)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # else a line for each malformed request
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # else a traceback for each refused connection
    Server(service, token, ready, host).run([taken])
    if not service.worker.stop(FAREWELL):
        log.warning("stopped in the middle of an answer")
        sys.stdout.flush()
        os._exit(0)  # the thread can't be stopped otherwise

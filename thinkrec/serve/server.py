"""Start a server, and stop it gracefully."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from thinkrec.config.names import ENCODERS
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout
from thinkrec.serve.app import make_app
from thinkrec.serve.limits import Limits
from thinkrec.serve.service import Service
from thinkrec.teachers.redact import hide

log = logging.getLogger(__name__)
TOKEN = "THINKREC_TOKEN"
READERS = ("gsasrec_labels", "sasrec_labels", "gsasrec", "sasrec")
"""Encoders that read a history, so that they know a new user, too; those that read verdicts first."""
SWITCH = 0.0005
"""Seconds after which the worker's thread lets requests be read: Python's 5 ms would hold all of them up."""
SHORTLIST = 50
"""Candidates that an encoder hands to a language model: about two seconds on two cores (our choice)."""


class Server(uvicorn.Server):
    """A server that ends with exit code 0 when it is told to.

    Args:
        config: uvicorn's.
        ready: called when it answers.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        """Keep them."""
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish what is in progress; at the second signal, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


class Connection(H11Protocol):
    """A connection on which a request has to arrive in time, or it is closed.

    Args:
        arrival: seconds from its first byte, or from the connection's start, to the end of its headers.
    """

    def __init__(self, *args: Any, arrival: float, **kwargs: Any) -> None:
        """Keep them."""
        super().__init__(*args, **kwargs)
        self._arrival = arrival
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
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
        ConfigError: it can't be sent in a header.
    """
    token = os.environ.get(TOKEN)
    if not token:
        return None
    hide(token)
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(f"{TOKEN}: use ASCII letters, digits and signs, without spaces")
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
        raise ConfigError(f"--host: {host!r} is no name or address of this machine") from None
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
    """
    there = trained(layout)
    return f"{next((name for name in READERS if name in there), encoder)}:{SHORTLIST}"


def settings(limits: Limits) -> dict[str, Any]:
    """Arguments of `uvicorn.Config`. Only `Guard` writes to the log what was asked."""
    return {
        "http": partial(Connection, arrival=limits.arrival),
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "limit_concurrency": limits.connections,
        "timeout_graceful_shutdown": int(limits.drain),
        "h11_max_incomplete_event_size": limits.head,
    }


def serve(service: Service, taken: socket.socket, token: str | None, ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; then finish those in progress.

    Args:
        service: that answers.
        taken: the address.
        token: that requests must carry, or None.
        ready: called when it answers.
    """
    limits = service.limits
    sys.setswitchinterval(SWITCH)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # else a line for each malformed request
    Server(uvicorn.Config(make_app(service, token), **settings(limits)), ready).run([taken])
    if not service.worker.stop(limits.drain):
        log.warning("stopped in the middle of an answer, after %g s", limits.drain)
        sys.stdout.flush()
        os._exit(0)  # the thread can't be stopped otherwise

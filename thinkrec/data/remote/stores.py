"""What remote folders have in common: the protocol, what a status means, and addresses fit to be shown."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from thinkrec.errors import DataError


class GoneError(Exception):
    """There is no such file."""


class PassingError(Exception):
    """It failed, but may succeed when tried again; the text is the reason."""


class ForbiddenError(DataError):
    """The file, if there is one, may not be read; where a folder may not be listed, none is told from one."""


@dataclass(frozen=True)
class Stream:
    """A remote file, open.

    Args:
        start: byte that the blocks begin with: the one asked for, or 0 where the server can't, or the file
            has changed since.
        size: length of the whole file; None where the server does not say.
        blocks: its bytes from `start`; raises PassingError, GoneError, DataError.
    """

    start: int
    size: int | None
    blocks: Iterator[bytes]


class Store(Protocol):
    """A remote folder."""

    def address(self, name: str) -> str:
        """Address of a file in it; may hold credentials, so messages get it through `shown` only."""
        ...

    def open(self, name: str, start: int) -> AbstractContextManager[Stream]:
        """Open a file to be read from a byte on.

        Raises:
            GoneError: no such file.
            PassingError: the server is busy, broken or out of reach.
            DataError: the file may not or can't be read.
        """
        ...


def shown(address: str) -> str:
    """An address for a message: without login and query, both of which may hold credentials."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def reason_of(error: BaseException) -> str:
    """The system's words behind an error, else its kind; its own text may hold an address with a login."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            known = cause.errno in errno.errorcode and not isinstance(cause, ssl.SSLError)
            return (os.strerror(cause.errno) if known else cause.strerror).lower()
    return type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, what caused that, ..."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def broken_off(error: BaseException, address: str, variable: str) -> None:
    """Raise what an error of the network means.

    Args:
        error: what a library raised.
        address: of the file.
        variable: environment variable that names the library a file of trusted certificates.

    Raises:
        DataError: the server's certificate is not trusted.
        PassingError: anything else.
    """
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        raise DataError(
            f"{shown(address)} is not trusted ({reason_of(error)}): set {variable} to a file with the "
            "certificate of the authority that vouches for the server"
        ) from None
    raise PassingError(reason_of(error)) from None


def judge(status: int, said: str, address: str, advice: str) -> None:
    """Raise what an HTTP status other than success means.

    Args:
        status: of the answer.
        said: the reason, for the message.
        address: of the file.
        advice: what to do about a forbidden one.

    Raises:
        GoneError: no such file.
        PassingError: the server is busy or broken.
        ForbiddenError: it may not be read.
        DataError: anything else.
    """
    if status in (200, 206):
        return
    if status in (404, 410):
        raise GoneError
    if status in (408, 425, 429) or status >= 500:
        raise PassingError(said)
    if status in (401, 403):
        raise ForbiddenError(f"{shown(address)} may not be read ({said}): {advice}")
    raise DataError(f"cannot read {shown(address)} ({said}): check `raw` of the data set in params.yaml")

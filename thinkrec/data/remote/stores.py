"""The protocol of remote stores, translation of errors, and redaction of addresses."""

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


class NotFoundError(Exception):
    """The file does not exist."""


class TransientError(Exception):
    """A failure that a retry may fix; the text is the reason."""


class ForbiddenError(DataError):
    """The file may not be read, or does not exist in a folder that may not be listed."""


@dataclass(frozen=True)
class Stream:
    """An open remote file.

    Args:
        start: offset of the first block: as requested, or 0 if the server has no ranges or the file changed.
        size: length of the whole file; None if unknown.
        blocks: its bytes from `start`; raises TransientError, NotFoundError, DataError.
    """

    start: int
    size: int | None
    blocks: Iterator[bytes]


class Store(Protocol):
    """A remote folder."""

    def address(self, name: str) -> str:
        """Return the address of a file; may contain credentials, so use `redacted` in messages."""
        ...

    def open(self, name: str, start: int) -> AbstractContextManager[Stream]:
        """Open a file at an offset in bytes.

        Raises:
            NotFoundError: the file does not exist.
            TransientError: the server is busy, broken or unreachable.
            DataError: the file may not or can't be read.
        """
        ...


def redacted(address: str) -> str:
    """Strip login and query from an address, both of which may contain credentials."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def reason_of(error: BaseException) -> str:
    """Return the system's message behind an error, or its class; its own text may contain a login."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            known = cause.errno in errno.errorcode and not isinstance(cause, ssl.SSLError)
            return (os.strerror(cause.errno) if known else cause.strerror).lower()
    return type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its chain of causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def raise_network_error(error: BaseException, address: str, variable: str) -> None:
    """Translate a network error.

    Args:
        error: the library's error.
        address: of the file.
        variable: environment variable with which the library finds trusted certificates.

    Raises:
        DataError: the server's certificate is not trusted.
        TransientError: anything else.
    """
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        raise DataError(
            f"{redacted(address)} is not trusted ({reason_of(error)}): set {variable} to a file with the "
            "certificate of the authority that vouches for the server"
        ) from None
    raise TransientError(reason_of(error)) from None


def raise_for_status(status: int, reason: str, address: str, advice: str) -> None:
    """Raise the error of an HTTP status other than success.

    Args:
        status: of the response.
        reason: for the message.
        address: of the file.
        advice: what to do if it is forbidden.

    Raises:
        NotFoundError: the file does not exist.
        TransientError: the server is busy or broken.
        ForbiddenError: it may not be read.
        DataError: anything else.
    """
    if status in (200, 206):
        return
    if status in (404, 410):
        raise NotFoundError
    if status in (408, 425, 429) or status >= 500:
        raise TransientError(reason)
    if status in (401, 403):
        raise ForbiddenError(f"{redacted(address)} may not be read ({reason}): {advice}")
    raise DataError(f"cannot read {redacted(address)} ({reason}): check `raw` of the data set in params.yaml")

"""Raw files in a folder of a web server.

fsspec's HTTP file system is not used: it does not retry or resume, and reports a refused connection as a
missing file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError

from thinkrec.data.remote.stores import Stream, raise_for_status, raise_network_error, redacted
from thinkrec.errors import DataError

_TIMEOUT = 30
"""Seconds without a response or further bytes until a connection is dropped (our choice)."""
_BLOCK = 1 << 16
_ADVICE = "if it needs a login, put one for this server into ~/.netrc"
_BY_HAND = "copy the files to a local folder and name that as `raw` in params.yaml"
_TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    HTTPError,
)


class WebStore:
    """A folder of a web server; logins from ~/.netrc or the address, proxies from the environment."""

    def __init__(self, raw: str) -> None:
        """Open the folder at an address; its query, such as a signature, is sent with every file."""
        self._parts = urlsplit(raw)
        self._validators: dict[str, str] = {}
        self._sizes: dict[str, int | None] = {}

    def address(self, name: str) -> str:
        """Return the address of a file."""
        path = f"{self._parts.path.rstrip('/')}/{quote(name)}"
        return urlunsplit(self._parts._replace(path=path, fragment=""))

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[Stream]:
        """Request a file from `start` on; a server without range support sends all of it."""
        answer = self._get(name, start)
        partial = answer.status_code == requests.codes.partial_content
        content_range = answer.headers.get("Content-Range", "") if partial else ""
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content_range)
        fits = match is not None and (int(match[1]), int(match[2])) == (start, self._sizes.get(name))
        if answer.status_code == requests.codes.requested_range_not_satisfiable or (partial and not fits):
            answer.close()  # the length changed, or this is not the requested range
            match, answer = None, self._get(name, 0)
        with answer:
            content_range = f"{answer.status_code} {answer.reason or ''}".strip()
            raise_for_status(answer.status_code, content_range, self.address(name), _ADVICE)
            self._refuse_encoded(answer, name)
            etag = answer.headers.get("ETag", "")
            self._validators[name] = etag if etag[:1] == '"' else answer.headers.get("Last-Modified", "")
            length = answer.headers.get("Content-Length", "")
            size = int(match[2]) if match else int(length) if length.isdecimal() else None
            self._sizes[name] = size
            yield Stream(start if match else 0, size, self._blocks(answer, name))

    def _get(self, name: str, start: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator := self._validators.get(name):
                headers["If-Range"] = validator  # sends all of a file that has changed
        with self._errors(name):
            return requests.get(self.address(name), headers=headers, stream=True, timeout=_TIMEOUT)

    def _blocks(self, answer: requests.Response, name: str) -> Iterator[bytes]:
        """Yield the stored bytes; compressed files stay compressed."""
        while True:
            with self._errors(name):
                block = answer.raw.read(_BLOCK, decode_content=False)
            if not block:
                return
            yield block

    def _refuse_encoded(self, answer: requests.Response, name: str) -> None:
        """Raise DataError for a response compressed in transit, unless the file itself is gzipped."""
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding == "identity" or (name.endswith(".gz") and encoding in ("gzip", "x-gzip")):
            return
        raise DataError(
            f"{redacted(self.address(name))} is sent compressed ({encoding}) without being asked: "
            f"turn that off at the server, or {_BY_HAND}"
        )

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Translate network errors, without their text, which may contain a login."""
        try:
            yield
        except _TRANSIENT as error:
            raise_network_error(error, self.address(name), "REQUESTS_CA_BUNDLE")
        except requests.RequestException as error:
            raise DataError(
                f"cannot read {redacted(self.address(name))} ({type(error).__name__}): "
                "check `raw` of the data set in params.yaml"
            ) from None

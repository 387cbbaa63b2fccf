"""Raw files in a folder of a web server.

Why not fsspec's web file system: it tries nothing again, takes no broken download up, and calls every file
missing whose length it can't ask for, be it that the connection was refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError

from thinkrec.data.remote.stores import Stream, broken_off, judge, shown
from thinkrec.errors import DataError

_TIMEOUT = 30
"""Seconds without an answer, or without further bytes, after which a connection is given up (our choice)."""
_BLOCK = 1 << 16
_ADVICE = "if it needs a login, put one for this server into ~/.netrc"
_BY_HAND = "copy the files to a local folder and name that as `raw` in params.yaml"
_PASSING = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    HTTPError,
)


class WebStore:
    """A folder of a web server; logins from ~/.netrc or the address, proxies from the environment."""

    def __init__(self, raw: str) -> None:
        """Take the folder's address; a query in it (a signature) goes with every file."""
        self._parts = urlsplit(raw)
        self._marks: dict[str, str] = {}
        self._sizes: dict[str, int | None] = {}

    def address(self, name: str) -> str:
        """Address of a file."""
        path = f"{self._parts.path.rstrip('/')}/{quote(name)}"
        return urlunsplit(self._parts._replace(path=path, fragment=""))

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[Stream]:
        """One request for what follows `start`; a server that knows no ranges sends everything."""
        answer = self._get(name, start)
        partial = answer.status_code == requests.codes.partial_content
        said = answer.headers.get("Content-Range", "") if partial else ""
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", said)
        fits = place is not None and (int(place[1]), int(place[2])) == (start, self._sizes.get(name))
        if answer.status_code == requests.codes.requested_range_not_satisfiable or (partial and not fits):
            answer.close()  # the file has another length now, or this is another part than asked for
            place, answer = None, self._get(name, 0)
        with answer:
            said = f"{answer.status_code} {answer.reason or ''}".strip()
            judge(answer.status_code, said, self.address(name), _ADVICE)
            self._refuse_encoded(answer, name)
            etag = answer.headers.get("ETag", "")
            self._marks[name] = etag if etag[:1] == '"' else answer.headers.get("Last-Modified", "")
            length = answer.headers.get("Content-Length", "")
            size = int(place[2]) if place else int(length) if length.isdecimal() else None
            self._sizes[name] = size
            yield Stream(start if place else 0, size, self._blocks(answer, name))

    def _get(self, name: str, start: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if mark := self._marks.get(name):
                headers["If-Range"] = mark  # a file that has changed since comes whole
        with self._errors(name):
            return requests.get(self.address(name), headers=headers, stream=True, timeout=_TIMEOUT)

    def _blocks(self, answer: requests.Response, name: str) -> Iterator[bytes]:
        """The bytes as they are stored: what is compressed there stays so."""
        while True:
            with self._errors(name):
                block = answer.raw.read(_BLOCK, decode_content=False)
            if not block:
                return
            yield block

    def _refuse_encoded(self, answer: requests.Response, name: str) -> None:
        """What is sent compressed, unasked, is right only for a file that is compressed itself."""
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding == "identity" or (name.endswith(".gz") and encoding in ("gzip", "x-gzip")):
            return
        raise DataError(
            f"{shown(self.address(name))} is sent compressed ({encoding}), though not asked for: "
            f"turn that off at the server, or {_BY_HAND}"
        )

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Errors of the network as ours, without their text, which may hold a login."""
        try:
            yield
        except _PASSING as error:
            broken_off(error, self.address(name), "REQUESTS_CA_BUNDLE")
        except requests.RequestException as error:
            raise DataError(
                f"cannot read {shown(self.address(name))} ({type(error).__name__}): "
                "check `raw` of the data set in params.yaml"
            ) from None

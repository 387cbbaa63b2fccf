"""Fetching MovieLens-1M, from a server of our own."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from thinkrec.data.download import FILES, MD5, fetch_ml1m
from thinkrec.errors import DataError


def zipped(names: tuple[str, ...] = FILES) -> bytes:
    """A zip like GroupLens', with text that does not shrink."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name in names:
            file.writestr(f"ml-1m/{name}", f"{name}::" * 20_000)
    return held.getvalue()


class Server(HTTPServer):
    """Serves `content`; the first `broken` answers stop after 100,000 bytes, `refused` ones are 503."""

    content = b""
    broken = refused = 0
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        """Where the zip is."""
        return f"http://127.0.0.1:{self.server_port}/ml-1m.zip"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are expected."""


class Handler(BaseHTTPRequestHandler):
    """Ranges, broken answers, refusals."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        server = self.server
        server.asked.append(self.headers["Range"])
        if self.path != "/ml-1m.zip" or server.refused > 0:
            server.refused -= 1
            self.send_error(503 if self.path == "/ml-1m.zip" else 404)
            return
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] and server.ranges else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            size = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if len(server.asked) > 1:  # the first request only asks for the length
            server.broken -= 1
        self.wfile.write(rest[:100_000] if server.broken >= 0 and len(server.asked) > 1 else rest)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.content = zipped()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(folder: Path, server: Server) -> None:
    fetch_ml1m(folder, server.address, hashlib.md5(server.content).hexdigest(), pause=0.001)


def test_fetch_brings_three_files_and_nothing_else(tmp_path: Path, server: Server) -> None:
    fetch(tmp_path / "raw", server)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == list(FILES)
    assert (tmp_path / "raw" / "users.dat").read_text() == "users.dat::" * 20_000
    fetch(tmp_path / "raw", server)
    assert len(server.asked) == 2, "what is there is not loaded again"


def test_broken_download_goes_on_where_it_stopped(tmp_path: Path, server: Server) -> None:
    server.broken = 5  # more than TRIES, but each brings something
    fetch(tmp_path, server)
    assert server.asked == [None, None, *[f"bytes={n * 100_000}-" for n in range(1, 6)]]
    assert sorted(path.name for path in tmp_path.iterdir()) == list(FILES)


def test_server_without_ranges_and_busy_server(tmp_path: Path, server: Server) -> None:
    server.broken, server.ranges, server.refused = 1, False, 2
    fetch(tmp_path, server)
    assert sorted(path.name for path in tmp_path.iterdir()) == list(FILES)


def test_part_longer_than_the_file(tmp_path: Path, server: Server) -> None:
    (tmp_path / ".ml-1m.zip.part").write_bytes(bytes(len(server.content) + 5))
    fetch(tmp_path, server)
    assert sorted(path.name for path in tmp_path.iterdir()) == list(FILES)


def test_wrong_checksum(tmp_path: Path, server: Server) -> None:
    found = hashlib.md5(server.content).hexdigest()
    with pytest.raises(DataError) as caught:
        fetch_ml1m(tmp_path, server.address, pause=0.001)
    assert str(caught.value) == (
        f"{server.address} is not the published file: its md5 is {found}, not {MD5}; try again"
    )
    assert not list(tmp_path.iterdir())


def test_incomplete_zip_leaves_no_file(tmp_path: Path, server: Server) -> None:
    server.content = zipped(FILES[:2])
    with pytest.raises(DataError, match="is not a zip file of MovieLens-1M"):
        fetch(tmp_path, server)
    assert not list(tmp_path.glob("*.dat")) and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{server}/other.zip", "{address} is not there"),
        ("http://127.0.0.1:9/ml-1m.zip", "cannot copy {address} (connection refused; tried 4 times)"),
    ],
)
def test_no_network(tmp_path: Path, server: Server, address: str, words: str) -> None:
    address = address.format(server=server.address.removesuffix("/ml-1m.zip"))
    with pytest.raises(DataError) as caught:
        fetch_ml1m(tmp_path / "raw", address, pause=0.001)
    assert str(caught.value) == (
        f"{words.format(address=address)}: download it where there is a network, "
        f"and put movies.dat, ratings.dat, users.dat from it into {tmp_path / 'raw'}"
    )


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(tmp_path: Path, server: Server) -> None:
    kept = server.content[:70_000]
    (tmp_path / ".ml-1m.zip.part").write_bytes(kept)
    fetch(tmp_path, server)
    assert server.asked == [None, f"bytes={len(kept)}-"]
    assert sorted(path.name for path in tmp_path.iterdir()) == list(FILES)

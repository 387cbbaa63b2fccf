"""Raw folders on a web server of our own: plain, broken, busy, forbidden, changing, encrypted."""

from __future__ import annotations

import datetime
import gzip
import io
import ipaddress
import logging
import resource
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from thinkrec.data import remote
from thinkrec.data.remote import fetch_files, store_of
from thinkrec.errors import ConfigError, DataError, StorageError

LOW = "".join(f"low {n}\n" for n in range(60_000)).encode()
HIGH = LOW.upper()
BY_HAND = (
    "run again when the server answers, or copy the files by hand to a local folder and name it as `raw` "
    "in params.yaml"
)


class Server(ThreadingHTTPServer):
    """Serves `files`; the first `broken` answers that are read stop after 100,000 bytes.

    Without `ranges` a part is never sent, without `parts` everything is called one, without `length` the
    length is not said. Every answer has the headers `extra`; `statuses` come first, one an answer; `changed`
    replaces the files after the first broken answer.
    """

    ranges = length = parts = True
    broken = 0
    changed: dict[str, bytes] | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/raw/low.json": LOW}
        self.statuses: list[int] = []
        self.extra: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.logins: set[str | None] = set()

    @property
    def raw(self) -> str:
        """The folder's address."""
        return f"http://127.0.0.1:{self.server_port}/raw"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are expected."""


class Handler(BaseHTTPRequestHandler):
    """Answers as the server is set."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        server, content = self.server, self.server.files.get(self.path.split("?")[0])
        first = self.path not in [path for path, _ in server.asked]  # which only asks for the length
        server.asked.append((self.path, self.headers["Range"]))
        server.logins.add(self.headers["Authorization"])
        status = server.statuses.pop(0) if server.statuses else 200 if content is not None else 404
        if status != 200 or content is None:
            self.send_error(status)
            return
        start = self._start(content)
        if start >= len(content) > 0:
            self.send_error(416)
            return
        rest = content[start:] if server.parts else content
        self.send_response(206 if start else 200)
        for key, value in ({"ETag": f'"{hash(content)}"'} | server.extra).items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.length:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self._send(rest, first)

    def _start(self, content: bytes) -> int:
        if not (self.server.ranges and self.headers["Range"]):
            return 0
        same = self.headers["If-Range"] in (None, f'"{hash(content)}"')
        return int(self.headers["Range"][6:-1]) if same else 0

    def _send(self, rest: bytes, first: bool) -> None:
        """The first request for a file is not one to be broken."""
        server = self.server
        if not first and server.broken > 0:
            server.broken -= 1
            rest = rest[:100_000]
            server.files = server.changed or server.files
        self.wfile.write(rest)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(server := Server()):
        yield server


def copy(server: Server, folder: Path) -> dict[str, bytes]:
    """What `fetch_files` copies of low.json."""
    fetch_files(server.raw, {"low.json": True}, folder, 0.001)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pythons_own_web_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = tmp_path / "served"
    (served / "my raw").mkdir(parents=True)
    (served / "my raw" / "low #1.json").write_bytes(LOW)
    (served / "my raw" / "empty.csv").write_bytes(b"")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Tolerant(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Clients that hang up are expected."""

    web = Tolerant(("127.0.0.1", 0), partial(Quiet, directory=served))
    with serving(web):
        raw = f"http://127.0.0.1:{web.server_port}/my raw/"
        with caplog.at_level(logging.INFO, "thinkrec"):
            names = {"low #1.json": True, "empty.csv": True, "absent.json": False}
            assert fetch_files(raw, names, tmp_path / "work" / "raw") == tmp_path / "work" / "raw"
        assert caplog.messages == [f"copying 2 files from {raw}"]
        found = {path.name: path.read_bytes() for path in (tmp_path / "work" / "raw").iterdir()}
        assert found == {"low #1.json": LOW, "empty.csv": b""}
        with pytest.raises(DataError) as caught:
            fetch_files(raw, {"low #1.json": True, "absent.json": True}, tmp_path / "other")
        assert str(caught.value) == (
            f"{raw}absent.json is not there: check `raw` of the data set in params.yaml, and that the folder "
            "holds this file"
        )
        assert not list((tmp_path / "other").iterdir()), "all are looked for before any is copied"


def test_broken_answers_go_on_where_they_stopped(tmp_path: Path, server: Server) -> None:
    server.broken = 5  # more than TRIES, but each brings something
    assert copy(server, tmp_path) == {"low.json": LOW}
    ranges = [asked for _, asked in server.asked]
    assert ranges == [None, None, *[f"bytes={n * 100_000}-" for n in range(1, 6)]]


def test_broken_answers_without_ranges(tmp_path: Path, server: Server) -> None:
    server.broken, server.ranges = 2, False
    assert copy(server, tmp_path) == {"low.json": LOW}


def test_a_file_that_changes_meanwhile_is_not_mixed(tmp_path: Path, server: Server) -> None:
    server.broken, server.changed = 1, {"/raw/low.json": HIGH + HIGH}
    assert copy(server, tmp_path) == {"low.json": HIGH + HIGH}


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_file_of_another_length_without_a_mark(tmp_path: Path, server: Server, size: int) -> None:
    """Without an ETag the length alone tells (416, or another total), and nothing is mixed either."""
    server.broken, server.changed, server.extra = 1, {"/raw/low.json": HIGH[:size]}, {"ETag": ""}
    assert copy(server, tmp_path) == {"low.json": HIGH[:size]}


def test_server_that_sends_everything_as_a_part(tmp_path: Path, server: Server) -> None:
    server.broken, server.parts = 1, False
    assert copy(server, tmp_path) == {"low.json": LOW}
    assert [asked for _, asked in server.asked] == [None, None, "bytes=100000-", None]


@pytest.mark.parametrize("ranges", [True, False])
def test_shorter_than_announced_is_an_error(tmp_path: Path, server: Server, ranges: bool) -> None:
    server.broken, server.ranges = 1000, ranges
    server.files["/raw/low.json"] = LOW[:50_000]
    server.extra = {"Content-Length": "50001"}
    server.length = False
    with pytest.raises(DataError) as caught:
        copy(server, tmp_path)
    assert str(caught.value) == f"cannot copy {server.raw}/low.json (ProtocolError; tried 4 times): {BY_HAND}"
    assert not list(tmp_path.iterdir())


def test_busy_server(tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.statuses = [503, 429, 200, 502, 200]
    with caplog.at_level(logging.INFO, "thinkrec"):
        assert copy(server, tmp_path) == {"low.json": LOW}
    assert f"{server.raw}/low.json: 503 Service Unavailable; trying again" in caplog.messages


@pytest.mark.parametrize("status", [500, 503])
def test_broken_server(tmp_path: Path, server: Server, status: int) -> None:
    server.statuses = [200, *[status] * 99]
    with pytest.raises(DataError, match=rf"low\.json \({status} .*; tried 4 times\): run again when"):
        copy(server, tmp_path)
    assert len(server.asked) == 5 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            401,
            "may not be read (401 Unauthorized): if it needs a login, put one for this server into ~/.netrc",
        ),
        (403, "may not be read (403 Forbidden): if it needs a login, put one for this server into ~/.netrc"),
        (
            404,
            "is not there: check `raw` of the data set in params.yaml, and that the folder holds this file",
        ),
    ],
)
def test_forbidden_and_missing(tmp_path: Path, server: Server, status: int, said: str) -> None:
    server.statuses = [status]
    with pytest.raises(DataError) as caught:
        copy(server, tmp_path)
    assert str(caught.value) == f"{server.raw}/low.json {said}"
    assert len(server.asked) == 1, "trying again is no use"


def test_a_forbidden_file_that_is_not_needed(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Where listing is forbidden, stores answer 403 for what is absent; nothing else there is an error."""
    names = {"low.json.gz": False, "low.json": False}
    server.statuses = [403]
    fetch_files(server.raw, names, tmp_path, 0.001)
    assert [path.name for path in tmp_path.iterdir()] == ["low.json"]
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
        f"taken as absent: {server.raw}/low.json.gz may not be read (403 Forbidden): if it needs a login, "
        "put one for this server into ~/.netrc"
    ]
    server.statuses = [403, 403]
    with pytest.raises(DataError, match=r"low\.json\.gz may not be read \(403 Forbidden\)"):
        fetch_files(server.raw, names, tmp_path, 0.001)


@pytest.mark.parametrize("status", [204, 400])
def test_other_answers(tmp_path: Path, server: Server, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(DataError, match=rf"cannot read .*low\.json \({status} .*\): check `raw`"):
        copy(server, tmp_path)


def test_a_file_that_goes_away(tmp_path: Path, server: Server) -> None:
    server.statuses = [200, 404]
    with pytest.raises(DataError, match=r"low\.json went away while it was copied; run again"):
        copy(server, tmp_path)


def test_server_that_says_no_length(tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.length = False
    assert copy(server, tmp_path) == {"low.json": LOW}
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
        f"the server does not say how long {server.raw}/low.json is: a copy that ends early may pass for a "
        "whole one"
    ]


def test_compression_is_not_undone(tmp_path: Path, server: Server) -> None:
    packed = gzip.compress(LOW)
    server.files = {"/raw/low.json.gz": packed, "/raw/low.json": packed}
    server.extra = {"Content-Encoding": "gzip"}
    fetch_files(server.raw, {"low.json.gz": True}, tmp_path)
    assert (tmp_path / "low.json.gz").read_bytes() == packed
    with pytest.raises(DataError, match=r"low\.json is sent compressed \(gzip\) without being asked"):
        copy(server, tmp_path)


@pytest.mark.parametrize("statuses", [[], [200, 503, 503, 503, 503], [403], [404], [400]])
def test_credentials_reach_the_server_but_no_message(
    tmp_path: Path, server: Server, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    server.statuses = list(statuses)
    raw = server.raw.replace("http://", "http://ann:SECRET@") + "?sig=SECRET"
    with caplog.at_level(logging.DEBUG, "thinkrec"):
        try:
            fetch_files(raw, {"low.json": True}, tmp_path, 0.001)
            assert not statuses
        except DataError as error:
            assert statuses and "SECRET" not in str(error) and server.raw in str(error)
            assert error.__cause__ is None
    assert "SECRET" not in caplog.text
    assert server.asked[0] == ("/raw/low.json?sig=SECRET", None)
    assert server.logins == {"Basic YW5uOlNFQ1JFVA=="}


def test_login_from_netrc(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    copy(server, tmp_path / "raw")
    assert server.logins == {"Basic YW5uOlNFQ1JFVA=="}


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_files("http://ann:SECRET@127.0.0.1:9/raw", {"a.csv": False}, tmp_path, 0.001)
    assert str(caught.value) == (
        f"cannot copy http://127.0.0.1:9/raw/a.csv (connection refused; tried 4 times): {BY_HAND}"
    )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            "gs://ann:SECRET@bucket/raw",
            "the scheme gs:// is not known, only s3://, https://, http://; or copy the files to a local "
            "folder and name that",
        ),
        ("https:///raw", "the https:// address names no server"),
        ("https://[::1/raw", "the https:// address names no server"),
        ("S3://", "the s3:// address names no bucket"),
    ],
)
def test_addresses_that_are_none(tmp_path: Path, raw: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fetch_files(raw, {}, tmp_path)
    assert str(caught.value) == f"raw: {said}"


def test_s3_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError) as caught:
        store_of("s3://bucket/raw")
    assert str(caught.value) == (
        "raw: s3://bucket/raw needs a package that is not installed: pip install 'thinkrec[s3]'"
    )


def test_small_disk(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(StorageError) as caught:
        copy(server, tmp_path)
    assert str(caught.value) == (
        f"cannot write {tmp_path}: the remote files take {len(LOW):,} bytes, 1,000 are free; free space, "
        "then run again"
    )
    assert len(server.asked) == 1


def test_disk_that_fills_meanwhile(tmp_path: Path, server: Server) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*low\.json: file too large; free space"):
            copy(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(server.asked) == 2 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_on_a_terminal_only(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    server.broken, server.ranges = 2, False  # what is sent again is not counted twice
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    copy(server, tmp_path)
    shown = screen.getvalue()
    size = f"{len(LOW) / 1000:.1f} kB"
    assert (f"copying low.json: {size} of {size}" in shown) is terminal
    assert terminal or not shown


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, its key in the same file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1)).add_extension(host, critical=False)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, *form)
    )
    return path


def test_https(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    held = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(held)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    raw = server.raw.replace("http://", "https://")
    with pytest.raises(DataError) as caught:
        fetch_files(raw, {"low.json": True}, tmp_path / "raw", 0.001)
    assert f"{raw}/low.json is not trusted (" in str(caught.value)
    assert "certificate verify failed" in str(caught.value)
    assert "set REQUESTS_CA_BUNDLE to a file with the certificate" in str(caught.value)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(held))
    fetch_files(raw, {"low.json": True}, tmp_path / "raw", 0.001)
    assert (tmp_path / "raw" / "low.json").read_bytes() == LOW

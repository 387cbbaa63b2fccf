"""Raw folders in an object store: moto's S3 server, reached through one of ours that can break and refuse."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from test_remote import BY_HAND, certificate, serving

from thinkrec.data.remote import fetch_files, s3store
from thinkrec.errors import DataError

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'thinkrec[s3]'")
moto = pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
import boto3  # noqa: E402  (moto brings it)

LOW = "".join(f"low {n}\n" for n in range(60_000)).encode()
HIGH = LOW.upper()
BLOCK = 200_000
ONE = {"low.json": True}
ADVICE = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (temporary ones: AWS_SESSION_TOKEN too), "
    "AWS_ENDPOINT_URL for a store that is not Amazon's, or FSSPEC_S3_ANON=true for a public bucket; "
    "where the bucket may not be listed, a missing file looks like a forbidden one"
)


class Gate(ThreadingHTTPServer):
    """Passes requests on to `behind`; `breaks` GET answers stop after 100,000 bytes, `statuses` come first.

    `meanwhile` is called once, before the second GET.
    """

    breaks = 0
    meanwhile: Callable[[], object] | None = None

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Keeper)
        self.behind = behind
        self.statuses: list[int] = []
        self.asked: list[str] = []


class Keeper(BaseHTTPRequestHandler):
    """Answers with what `behind` answers."""

    server: Gate

    def do_HEAD(self) -> None:
        """Pass it on."""
        self._pass("HEAD")

    def do_GET(self) -> None:
        """Pass it on, and break the answer off where that is asked for."""
        self._pass("GET")

    def _pass(self, method: str) -> None:
        server = self.server
        server.asked.append(method)
        if server.statuses and (status := server.statuses.pop(0)) != 200:
            self.send_error(status)
            return
        if method == "GET" and server.meanwhile and server.asked.count("GET") == 2:
            server.meanwhile()
        answer = requests.request(method, server.behind + self.path, headers=dict(self.headers), timeout=30)
        self.send_response(answer.status_code)
        for key, value in answer.headers.items():
            if key.lower() not in ("server", "date", "connection", "transfer-encoding"):
                self.send_header(key, value)
        self.end_headers()
        broken = method == "GET" and server.breaks > 0
        server.breaks -= broken
        self.wfile.write(answer.content[: 100_000 if broken else None])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """Address of an S3 server."""
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def gate(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A store that holds bucket/raw/low.json and bucket/raw/empty.csv; the variables name it and a key."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    server = Gate(store)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(s3store, "_BLOCK", BLOCK)
    requests.post(f"{store}/moto-api/reset", timeout=30).raise_for_status()
    client(store).create_bucket(Bucket="bucket")
    put(store, "low.json", LOW)
    put(store, "empty.csv", b"")
    with serving(server):
        yield server


def client(store: str):  # type: ignore[no-untyped-def]
    return boto3.client("s3", endpoint_url=store, region_name="us-east-1")


def put(store: str, name: str, content: bytes) -> None:
    client(store).put_object(Bucket="bucket", Key=f"raw/{name}", Body=content)


def copy(folder: Path, raw: str = "s3://bucket/raw", names: Mapping[str, bool] = ONE) -> dict[str, bytes]:
    """What `fetch_files` copies."""
    fetch_files(raw, names, folder, 0.001)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("raw", ["s3://bucket/raw", "S3://bucket/raw/"])
def test_objects_come_whole(tmp_path: Path, gate: Gate, raw: str) -> None:
    found = copy(tmp_path / "raw", raw, {"low.json": True, "empty.csv": True, "absent.csv": False})
    assert found == {"low.json": LOW, "empty.csv": b""}
    assert gate.asked.count("GET") >= 3, "in blocks"


def test_a_bucket_itself(tmp_path: Path, gate: Gate) -> None:
    client(gate.behind).put_object(Bucket="bucket", Key="top.csv", Body=HIGH)
    assert copy(tmp_path, "s3://bucket", {"top.csv": True}) == {"top.csv": HIGH}


@pytest.mark.parametrize("address", ["bucket/raw/absent.csv", "bucket/raw", "nobucket/raw/low.json"])
def test_missing(tmp_path: Path, gate: Gate, address: str) -> None:
    """A prefix of other objects is no object."""
    folder, _, name = address.rpartition("/")
    with pytest.raises(DataError) as caught:
        copy(tmp_path, f"s3://{folder}", {name: True})
    assert str(caught.value) == (
        f"s3://{address} is not there: check `raw` of the data set in params.yaml, and that the folder holds "
        "this file"
    )


def test_broken_answers(tmp_path: Path, gate: Gate) -> None:
    gate.breaks = 3
    assert copy(tmp_path) == {"low.json": LOW}
    assert gate.breaks == 0


def test_always_broken_answers(tmp_path: Path, gate: Gate) -> None:
    gate.breaks = 10_000
    with pytest.raises(
        DataError, match=r"cannot copy s3://bucket/raw/low\.json \(.*tried 4 times\): run again"
    ):
        copy(tmp_path)
    assert gate.asked.count("GET") == 4, "no other layer tries again on its own"
    assert not list(tmp_path.iterdir())


def test_busy_store(tmp_path: Path, gate: Gate) -> None:
    gate.statuses = [503, 500, 200, 200, 503, 200, 502]
    assert copy(tmp_path) == {"low.json": LOW}


def test_an_object_that_changes_meanwhile_is_not_mixed(tmp_path: Path, gate: Gate) -> None:
    gate.meanwhile = lambda: put(gate.behind, "low.json", HIGH)
    assert copy(tmp_path) == {"low.json": HIGH}


def test_nobody_listens(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        copy(tmp_path)
    assert str(caught.value) == (
        f"cannot copy s3://bucket/raw/low.json (connection refused; tried 4 times): {BY_HAND}"
    )


def test_wrong_key(tmp_path: Path, gate: Gate) -> None:
    """moto checks keys after this request, until it is reset."""
    requests.post(f"{gate.behind}/moto-api/reset-auth", data=b"0", timeout=30).raise_for_status()
    try:
        with pytest.raises(DataError) as caught:
            copy(tmp_path)
    finally:
        requests.post(f"{gate.behind}/moto-api/reset-auth", data=b"inf", timeout=30).raise_for_status()
    assert str(caught.value) == f"s3://bucket/raw/low.json may not be read (403): {ADVICE}"
    assert gate.asked == ["HEAD"], "trying again is no use"


def test_no_key(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(DataError) as caught:
        copy(tmp_path)
    assert str(caught.value) == f"s3://bucket/raw/low.json needs credentials: {ADVICE}"


@pytest.mark.parametrize(
    ("variable", "value"), [("AWS_PROFILE", "absent"), ("AWS_ENDPOINT_URL", "ann:SECRET@store")]
)
def test_wrong_variables(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(DataError, match=r"low\.json may not be read \(\w+\): set AWS_") as caught:
        copy(tmp_path)
    assert "SECRET_" in str(caught.value) and "SECRET@" not in str(caught.value)


def test_a_bucket_name_that_is_none(tmp_path: Path, gate: Gate) -> None:
    with pytest.raises(DataError, match=r"cannot read s3://B_x!/raw/low\.json \(.*\): check `raw`"):
        copy(tmp_path, "s3://B_x!/raw")


@pytest.mark.parametrize("anonymous", [True, False])
def test_public_bucket(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, anonymous: bool) -> None:
    """The variable that the advice names; it is read when fsspec is imported, hence another process."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    if anonymous:
        monkeypatch.setenv("FSSPEC_S3_ANON", "true")
    client(gate.behind).put_object_acl(Bucket="bucket", Key="raw/low.json", ACL="public-read")
    code = f"""
from pathlib import Path
from thinkrec.data.remote import fetch_files
fetch_files("s3://bucket/raw", {{"low.json": True}}, Path({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) is anonymous, done.stderr
    assert ("needs credentials" in done.stderr) is not anonymous
    assert not anonymous or (tmp_path / "low.json").read_bytes() == LOW


def test_https(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    held = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(held)
    gate.socket = context.wrap_socket(gate.socket, server_side=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{gate.server_port}")
    with pytest.raises(DataError, match=r"low\.json is not trusted \(.*\): set AWS_CA_BUNDLE to a file with"):
        copy(tmp_path / "raw")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(held))
    assert copy(tmp_path / "raw") == {"low.json": LOW}

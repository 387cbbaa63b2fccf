"""A model hub on the loopback device, as far as uploads ask it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

REFUSED = "Invalid credentials in Authorization header"


class HubServer:
    """Keeps repositories in memory: files, and whether they are private.

    `status` answers requests to a path that contains a word, as `{"commit": 500}`; `said` is its message.

    Args:
        token: the one that may read and write.
    """

    def __init__(self, token: str) -> None:
        self.token, self.said = token, "no reason"
        self.repositories: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.asked: list[str] = []
        self.commits: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def do_PUT(self) -> None:
                self.do_POST()

            def answer(self, body: bytes) -> None:
                path = urlsplit(self.path).path
                outer.asked.append(f"{self.command} {path}")
                status, said, headers = outer.respond(path, body, self.headers.get("Authorization"))
                payload = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, private: bool, **files: str) -> None:
        """Make a repository; files are named with two underscores in place of dots."""
        content = {each.replace("__", "."): text.encode() for each, text in files.items()}
        self.repositories[name] = {"private": private, "files": {".gitattributes": b"", **content}}

    def respond(self, path: str, body: bytes, login: str | None) -> tuple[int, Any, dict[str, str]]:
        """Answer a request: status, JSON, headers."""
        for word, status in self.status.items():
            if word in path:
                return status, {"error": self.said}, {"X-Error-Message": self.said}
        if path.startswith("/stored/"):  # a signed address: no login goes along
            assert login is None
            assert hashlib.sha256(body).hexdigest() == path.rpartition("/")[2]
            self.stored[path.rpartition("/")[2]] = body
            return 200, {}, {}
        if login != f"Bearer {self.token}":
            return 401, {"error": REFUSED}, {"X-Error-Message": REFUSED}
        if path == "/api/validate-yaml":
            text = json.loads(body)["content"]
            good = text.startswith("---\n") and "\n---\n" in text[4:]
            return (200, {"errors": [], "warnings": []}, {}) if good else (400, {"errors": [{}]}, {})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [self._place(each) for each in json.loads(body)["objects"]]
            return 200, {"transfer": "basic", "objects": objects}, {}
        owner, name, *rest = path.removeprefix("/api/models/").split("/")
        found = self.repositories.get(f"{owner}/{name}")
        if found is None:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if rest[:1] == ["preupload"]:
            return 200, {"files": [self._mode(each) for each in json.loads(body)["files"]]}, {}
        if rest[:1] == ["commit"]:
            return self._commit(f"{owner}/{name}", found, body)
        siblings = [{"rfilename": each} for each in found["files"]]
        facts = {"id": f"{owner}/{name}", "sha": self._sha(found), "private": found["private"]}
        return 200, facts | {"siblings": siblings, "tags": [], "downloads": 0}, {}

    def _sha(self, found: dict[str, Any]) -> str:
        return hashlib.sha1(repr(sorted(found["files"].items())).encode()).hexdigest()

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repositories:
            return 409, {"error": "exists", "url": f"{self.url}/{name}"}, {}
        private = asked.get("private", asked.get("visibility") == "private")
        self.add(name, private=bool(private))
        return 200, {"url": f"{self.url}/{name}"}, {}

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith(".safetensors")
        return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def _place(self, file: dict[str, Any]) -> dict[str, Any]:
        actions = {"upload": {"href": f"{self.url}/stored/{file['oid']}"}}
        return file | {"actions": actions}

    def _commit(self, name: str, found: dict[str, Any], body: bytes) -> tuple[int, Any, dict[str, str]]:
        lines = [json.loads(line) for line in body.splitlines()]
        head, *steps = lines
        if head["value"].get("parentCommit") not in (None, self._sha(found)):
            return 412, {"error": "A commit has happened since"}, {}
        for step in steps:
            value, files = step["value"], found["files"]
            if step["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
            else:
                del files[value["path"]]
        self.commits.append(head["value"])
        return 200, {"commitUrl": f"{self.url}/{name}/commit/1", "commitOid": self._sha(found)}, {}

"""What the tests of the doctor use: a change of params.yaml, and a server that lists models."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Change = Callable[[dict[str, Any]], object]


def edit(change: Change) -> None:
    """Change params.yaml of the current folder."""
    yaml = YAML()
    with Path("params.yaml").open(encoding="utf-8") as file:
        values = yaml.load(file)
    change(values)
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


class Models:
    """Answers GET /v1/models: with these models, a status, or after a pause."""

    def __init__(self) -> None:
        self.models, self.status, self.pause = ["Qwen/QwQ-32B"], 200, 0.0
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers["Authorization"]))
                time.sleep(outer.pause)
                said: Any = {"object": "list", "data": [{"id": name} for name in outer.models]}
                if outer.status != 200:
                    said = {"error": {"message": f"no: {self.headers['Authorization']}"}}
                body = json.dumps(said).encode()
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

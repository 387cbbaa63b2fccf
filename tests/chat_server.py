"""A chat endpoint on the loopback device."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[dict[str, Any]], Any]


class ChatServer:
    """Speaks the chat-completions schema; `script` maps a request to what is answered.

    That is a text, a status, or a message; a message with `finish` ends for that reason, and `raw` is sent as
    the whole body, with `status` and `headers`.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.paths: list[str] = []
        self.script: Script = lambda request: "Yes. It fits."
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for an acknowledgement

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(request)
                    outer.keys.append(self.headers["Authorization"])
                    outer.paths.append(self.path)
                    if self.path.partition("?")[0] != "/v1/chat/completions":
                        said: Any = 404
                    else:
                        said = outer.script(request)
                if callable(said):
                    said = said()
                if isinstance(said, int):
                    said = {"raw": {"error": {"message": f"status {said}"}}, "status": said}
                status = said.get("status", 200) if isinstance(said, dict) else 200
                headers = said.get("headers", {}) if isinstance(said, dict) else {}
                body = outer.body(request, said)
                payload = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
                self.send_header("Content-Length", str(len(payload)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def body(request: dict[str, Any], said: Any) -> Any:
        if isinstance(said, dict) and "raw" in said:
            return said["raw"]
        message = dict(said) if isinstance(said, dict) else {"content": said}
        finish = message.pop("finish", "stop")
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [choice],
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

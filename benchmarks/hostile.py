"""Malformed and hostile requests, made by chance from a seed; for tests and for `benchmarks/serving.py`."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from typing import Any

SECONDS = 20.0
ROUTES = ("/score", "/recommend", "/explain", "/items", "/users", "/history", "/about", "/nope", "/")
TEXTS = (
    "", "i1", "u1", "u0001", "\u0000", "\ud800", "\u202e", "' OR 1=1 --", "../../etc/passwd", "{{7*7}}",
    "<script>alert(1)</script>", "a" * 400, "🎬" * 80, "lightgcn:999999999", "lightgcn:5", "nan", "-1",
)  # fmt: skip
ENDINGS = ("", "", "?query=%ff%00", "?k=999999", "?user=" + "x" * 500, "//..", "#")
NUMBERS = (0, -1, 1, 10**9, 10**400, 1.5, 1e308)


def value(rng: random.Random, depth: int = 0) -> Any:
    """Draw any JSON value."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        return rng.choice((None, True, False))
    if kind < 5:
        return rng.choice(TEXTS)
    if kind < 7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): value(rng, depth + 1) for _ in range(3)}


def body(rng: random.Random) -> bytes:
    """Draw a body: what looks like a request with wrong values, or text that is none."""
    keys = ("user", "history", "items", "item", "k", "candidates", "why", "__proto__")
    asked = {key: value(rng) for key in rng.sample(keys, rng.randrange(1, 5))}
    if rng.random() < 0.5:
        asked["history"] = [{"item": value(rng, 3), "liked": value(rng, 3)} for _ in range(rng.randrange(3))]
    text = json.dumps(asked).encode()
    damage = rng.randrange(6)
    if damage == 0:
        return text[: rng.randrange(len(text))]
    if damage == 1:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
    if damage == 2:
        return b"[" * rng.randrange(1, 20_000)
    return text


def head(rng: random.Random, length: int) -> bytes:
    """Draw the line and headers of a request with a body of that many bytes."""
    method = rng.choice(("POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS", "BREW"))
    route = rng.choice(ROUTES) + rng.choice(ENDINGS)
    headers = {
        "Host": rng.choice(("localhost", "localhost", "localhost", "127.0.0.1", "evil.example", "", "[::")),
        "Content-Type": rng.choice(("application/json", "application/json", "text/plain", "\x01", "")),
        "Content-Length": str(length),
        "Connection": "close",
    }
    if rng.random() < 0.2:
        headers["Origin"] = rng.choice(("https://evil.example", "null", "http://["))
    if rng.random() < 0.1:
        headers["Content-Length"] = rng.choice(("-1", "9" * 30, "0", str(length + 5), "x", "300000"))
    if rng.random() < 0.1:
        headers["Transfer-Encoding"] = rng.choice(("chunked", "gzip", "chunked, chunked"))
    if rng.random() < 0.1:
        headers["X-Long"] = "y" * rng.choice((1_000, 20_000, 70_000))
    lines = [f"{method} {route} {rng.choice(('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/9'))}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def hostile(address: str, seed: int) -> int | None:
    """Send a request, of which some end too early.

    Args:
        address: such as http://127.0.0.1:8000.
        seed: decides what is sent.

    Returns:
        The status, or None where the connection was closed without one.
    """
    rng = random.Random(seed)
    content = body(rng)
    sent = head(rng, len(content)) + content
    if rng.random() < 0.1:
        sent = sent[: rng.randrange(len(sent))]
    host, port = address.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = _read(connection.recv)
        except (ConnectionResetError, BrokenPipeError):
            return None
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None


def _read(receive: Callable[[int], bytes]) -> bytes:
    parts = []
    while part := receive(65536):
        parts.append(part)
    return b"".join(parts)

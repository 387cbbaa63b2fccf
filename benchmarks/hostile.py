"""Malformed and hostile requests, made by chance from a seed; for tests and for `benchmarks/serving.py`.

Most are valid but for one thing, so that they get as far as they can: to the model, where only it can tell.
"""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
SECONDS = 20.0
ROUTES = ("/score", "/recommend", "/explain", "/items", "/users", "/history", "/about", "/nope", "/")
TEXTS = (
    "", "i1", "u1", "u0001", "\u0000", "\ud800", "\u202e", "' OR 1=1 --", "../../etc/passwd", "{{7*7}}",
    "<script>alert(1)</script>", "a" * 400, "🎬" * 80, "lightgcn:999999999", "lightgcn:5", "nan", "-1",
)  # fmt: skip
ENDINGS = ("", "", "?query=%ff%00", "?k=999999", "?user=" + "x" * 500, "//..", "#")
LEAVES = 0.03
"""Seconds within which some clients leave."""
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


@dataclass
class Sent:
    """A request that is valid until somebody changes it.

    Args:
        route: the path.
        body: as JSON.
        method: the verb.
        version: of HTTP.
        headers: besides the length.
        damage: changes the bytes of the body.
        chunked: whether the body comes in chunks.
        pieces: into how many parts all of it is cut; between them the client waits a moment.
    """

    route: str
    body: Body
    method: str = "POST"
    version: str = "HTTP/1.1"
    headers: dict[str, str] = field(
        default_factory=lambda: {
            "Host": "localhost",
            "Content-Type": "application/json",
            "Connection": "close",
        }
    )
    damage: Callable[[bytes], bytes] = bytes
    chunked: bool = False
    pieces: int = 1

    @property
    def named(self) -> list[Any]:
        """The items that it asks about."""
        if self.route == "/explain":
            return [self.body["item"]]
        listed: list[Any] = self.body["items" if self.route == "/score" else "candidates"]
        return listed

    def name(self, items: list[Any]) -> None:
        """Ask about other items."""
        key = {"/explain": "item", "/score": "items"}.get(self.route, "candidates")
        self.body[key] = items[0] if self.route == "/explain" else items

    def bytes(self) -> bytes:
        """All that is sent."""
        content = self.damage(json.dumps(self.body).encode())
        headers = dict(self.headers)
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"
        else:
            headers.setdefault("Content-Length", str(len(content)))
        lines = [f"{self.method} {self.route} {self.version}"]
        lines += [f"{name}: {text}" for name, text in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + content


def valid(rec: Any, count: int = 24) -> list[tuple[str, Body]]:
    """Make valid requests: routes and bodies.

    Args:
        rec: a recommender.
        count: how many.
    """
    items, users = list(rec.items), list(rec.users)
    made: list[tuple[str, Body]] = []
    for k in range(count):
        met = [item for item, _ in rec.history(users[k % len(users)])]
        who: Body = {"user": users[k % len(users)]}
        if k % 2:
            met = [items[(k + j) % len(items)] for j in range(3)]
            who = {"history": [{"item": item, "liked": j > 0} for j, item in enumerate(met)]}
        new = [item for item in items if item not in met][:5]
        route = ("/score", "/recommend", "/explain")[k // 2 % 3]
        more = {
            "/score": {"items": new},
            "/recommend": {"candidates": new, "k": 3},
            "/explain": {"item": new[0]},
        }
        made.append((route, who | more[route]))
    return made


def for_the_model(rng: random.Random, sent: Sent) -> None:
    """Draw what the routes let through: only the model can tell, or it is odd but right."""
    history = [{"item": item, "liked": rng.random() < 0.5} for item in sent.named]
    kind = rng.randrange(7)
    if kind == 0:
        sent.name(sent.named * 2)  # items twice
    elif kind == 1:
        del sent.body["user" if "user" in sent.body else "history"]
        sent.body["history"] = history  # all are in the history
    elif kind == 2:
        sent.body.pop("user", None)
        sent.body["history"] = rng.choice(([], history * 2, [{"item": sent.named[0], "liked": True}]))
    elif kind == 3:
        sent.version = "HTTP/1.0"
    elif kind == 4:
        sent.chunked = True
    elif kind == 5:
        sent.pieces = rng.randrange(2, 6)
    elif sent.route == "/recommend":
        sent.body |= {"why": True, "k": rng.randrange(1, 11)}


def of_the_body(rng: random.Random, sent: Sent) -> None:
    """One value, key or byte of the body is wrong."""
    kind, key = rng.randrange(8), rng.choice(list(sent.body))
    if kind < 2:
        sent.body[key] = value(rng)
    elif kind == 2:
        del sent.body[key]
    elif kind == 3:
        sent.body[rng.choice(("__proto__", "k", "why", "item", "user", "\u0000"))] = value(rng)
    elif kind == 4:
        sent.name([rng.choice((*TEXTS, *NUMBERS))])
    elif kind == 5:
        sent.damage = lambda content: content[: rng.randrange(len(content))]
    elif kind == 6:
        sent.damage = lambda content: rng.choice((b"\xef\xbb\xbf", b"[" * 20_000, b'{"user":')) + content
    else:
        sent.damage = lambda content: content.replace(b":", b": NaN, ", 1)


def of_the_head(rng: random.Random, sent: Sent) -> None:
    """One thing of the head is wrong."""
    kind = rng.randrange(7)
    if kind == 0:
        sent.headers["Host"] = rng.choice(("evil.example", "", "[::", "evil.example@localhost"))
    elif kind == 1:
        sent.headers["Origin"] = rng.choice(("https://evil.example", "null", "http://["))
    elif kind == 2:
        sent.headers["Content-Type"] = rng.choice(("text/plain", "", "application/x-www-form-urlencoded"))
    elif kind == 3:
        sent.headers["Content-Length"] = rng.choice(("-1", "9" * 30, "0", "5", "x", "300000"))
    elif kind == 4:
        sent.headers["X-Long"] = "y" * rng.choice((1_000, 20_000, 70_000))
    elif kind == 5:
        sent.method = rng.choice(("GET", "PUT", "HEAD", "OPTIONS", "BREW"))
    else:
        sent.route += rng.choice(ENDINGS)


def hostile(address: str, seed: int, good: Sequence[tuple[str, Body]]) -> int | None:
    """Send a request that is wrong in some way, or whose client leaves before the answer.

    Args:
        address: such as http://127.0.0.1:8000.
        seed: decides what is sent.
        good: valid requests.

    Returns:
        The status, or None where the connection was closed without one.
    """
    rng = random.Random(seed)
    route, asked = rng.choice(good)
    sent, leaves = Sent(route, deepcopy(asked)), False
    kind = rng.random()
    if kind < 0.35:
        for_the_model(rng, sent)
    elif kind < 0.55:
        leaves = True
    elif kind < 0.75:
        of_the_body(rng, sent)
    elif kind < 0.9:
        of_the_head(rng, sent)
    content = sent.bytes()
    if kind >= 0.9:  # many things are wrong at once
        text = body(rng)
        content = head(rng, len(text)) + text
        content = content[: rng.randrange(len(content))] if rng.random() < 0.1 else content
    host, port = address.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        try:
            step = -(-len(content) // sent.pieces)
            for start in range(0, len(content), step):
                connection.sendall(content[start : start + step])
                time.sleep(0.002 if sent.pieces > 1 else 0)
            if leaves:
                time.sleep(rng.random() * LEAVES)
                if rng.random() < 0.5:  # without a word
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return None
            if kind >= 0.75:  # it may lack its end, and the server would wait
                connection.shutdown(socket.SHUT_WR)
            answer = _read(connection.recv)
        except (ConnectionResetError, BrokenPipeError):
            return None
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None


def asked_of_the_model(metrics: str) -> int:
    """Count the requests that the model has answered.

    Args:
        metrics: the text of /metrics.
    """
    found = re.search(r"^thinkrec_batch_requests_sum (\S+)$", metrics, re.M)
    return 0 if found is None else int(float(found[1]))


def _read(receive: Callable[[int], bytes]) -> bytes:
    parts = []
    with suppress(ConnectionResetError):  # the answer may be there already
        while part := receive(65536):
            parts.append(part)
    return b"".join(parts)

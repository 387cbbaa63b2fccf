"""How the server ends, and what it does when it has no files left: in a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

SCRIPT = """
import resource, sys
from serving import StandIn
from thinkrec.serve.limits import Limits
from thinkrec.serve.server import bound, serve
from thinkrec.serve.service import Service

class Held(StandIn):
    def answer(self, questions):
        print("begun", flush=True)
        return super().answer(questions)

drain, files = float(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
rec = Held()
rec.go.clear()
taken = bound("127.0.0.1", 0, None)
service = Service(rec, Limits(drain=drain, arrival=drain + 5), None, ())
serve(service, taken, None, lambda: print(taken.getsockname()[1], flush=True))
"""
"""A server whose model never answers."""
BODY = {"user": "u1", "items": ["i2"]}


@contextmanager
def server(drain: float, files: int = 1024) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Its process and its address."""
    started = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(drain), str(files)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        yield started, f"http://127.0.0.1:{started.stdout.readline().strip()}"
    finally:
        if started.poll() is None:
            started.kill()
            started.communicate()


@pytest.mark.parametrize(("drain", "signals"), [(1.0, 1), (60.0, 2)])
def test_an_answer_that_takes_too_long_ends_with_an_error_not_with_a_traceback(drain, signals):
    with server(drain) as (started, address):
        assert started.stdout is not None
        answers: list[httpx.Response] = []

        def ask(route: str, body: object) -> None:
            answers.append(httpx.post(f"{address}{route}", json=body, timeout=20))

        asking = [threading.Thread(target=ask, args=("/score", BODY))]
        asking[0].start()
        assert started.stdout.readline() == "begun\n"
        for more in (("/score", BODY), ("/explain", {"user": "u1", "item": "i2"})):
            asking.append(threading.Thread(target=ask, args=more))
            asking[-1].start()
        host, port = address.removeprefix("http://").split(":")
        slow = socket.create_connection((host, int(port)), timeout=20)
        slow.sendall(
            b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10\r\n\r\n{"
        )
        while "thinkrec_queue_length 2.0" not in httpx.get(f"{address}/metrics").text:
            time.sleep(0.05)
        start = time.monotonic()
        for _ in range(signals):
            started.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        _, log = started.communicate(timeout=20)
        assert started.returncode == 0 and time.monotonic() - start < 6, log
        for each in asking:
            each.join(20)
        assert len(answers) == 3
        for answer in answers:
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            assert answer.json() == {"error": "the server stops: ask again when it is back"}
        head, _, body = slow.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503") and json.loads(body)["error"].startswith("the server stops")
        slow.close()
        assert "Traceback" not in log and "CancelledError" not in log


def test_a_stop_in_the_middle_of_an_answer_that_nobody_waits_for_is_quick():
    with server(60) as (started, address):
        assert started.stdout is not None
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/score", json=BODY, timeout=0.5)
        assert started.stdout.readline() == "begun\n"
        started.send_signal(signal.SIGINT)
        assert started.wait(10) == 0


def test_hundreds_of_idle_connections_leave_files_for_the_server():
    with server(20, files=256) as (started, address):
        host, port = address.removeprefix("http://").split(":")
        with ThreadPoolExecutor(32) as pool:
            idle = list(
                pool.map(lambda _: socket.create_connection((host, int(port)), timeout=20), range(400))
            )
        end = time.monotonic() + 20
        while len(refused := select.select(idle, [], [], 0)[0]) < 400 - 128:  # half of the files stay open
            assert time.monotonic() < end, len(refused)
            time.sleep(0.05)
        assert all(b" 503 " in each.recv(64) for each in refused)
        for each in idle:
            each.close()
        end = time.monotonic() + 10
        while httpx.get(f"{address}/health").status_code != 200:
            assert time.monotonic() < end
        started.send_signal(signal.SIGTERM)
        _, log = started.communicate(timeout=20)
        assert started.returncode == 0 and len(log) < 2000, log[:2000]

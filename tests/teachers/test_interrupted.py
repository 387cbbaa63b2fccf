"""Ctrl-C and kill -9 while an endpoint is thinking."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from chat_server import ChatServer

from thinkrec.config.sections import Endpoint, Prompt, Summarize, Synthesize
from thinkrec.layout import Layout
from thinkrec.stages.summarize import summarize
from thinkrec.stages.synthesize import synthesize

RUN = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
from thinkrec.config.sections import Prompt, Synthesize
from thinkrec.layout import Layout
from thinkrec.stages.synthesize import synthesize
options = Synthesize.model_validate_json(sys.argv[2])
synthesize(Layout("small", Path(sys.argv[1])), options, Prompt(), "frozen", 3)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_at_once_and_loses_no_answer(
    server: ChatServer, endpoint: Endpoint, layout: Layout, how: signal.Signals
) -> None:
    summarize(layout, Summarize())
    params = Synthesize(
        teacher="endpoint", attempts=1, endpoint=endpoint.model_copy(update={"concurrency": 2, "timeout": 60})
    )
    stuck, release = threading.Semaphore(0), threading.Event()

    def script(request: dict[str, Any]) -> Any:
        if len(server.requests) <= 6:
            return "Yes. It fits."
        stuck.release()
        return lambda: "Yes. Late." if release.wait(30) else 500

    server.script = script
    command = [sys.executable, "-c", RUN, str(layout.root), params.model_dump_json()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        assert all(stuck.acquire(timeout=30) for _ in range(2)), "the endpoint was never asked"
        start = time.perf_counter()
        process.send_signal(how)
        process.communicate(timeout=20)
        assert time.perf_counter() - start < 5
    finally:
        process.kill()
        process.wait()
        release.set()
    assert process.returncode != 0 and not layout.rationales.exists()
    assert len((layout.work("synthesize") / "answers.jsonl").read_text().splitlines()) == 6
    server.requests.clear()
    server.script = lambda request: "Yes. It fits."
    facts = synthesize(layout, params, Prompt(), "frozen", 3)
    assert len(server.requests) == facts["train"]["asked"] + facts["test"]["asked"] - 6

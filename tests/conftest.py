"""A small run of the whole pipeline, made once and only read by the tests; a chat endpoint for each test."""

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there: several processes run tests at once

import pytest
from chat_server import ChatServer
from filelock import FileLock
from small_chain import Chain, run_chain, small_params

from thinkrec.config.sections import Params
from thinkrec.layout import Layout


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A finished run, one for all processes: never write to it (`Chain.copy` gives one to change)."""
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()  # as the command does where stderr is no terminal
    disable_progress_bar()
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    layout = Layout("demo", shared / "chain")
    with FileLock(shared / "chain.lock"):
        if not (done := shared / "chain.pickle").exists():
            params = small_params(shared / "llama")
            done.write_bytes(pickle.dumps((params, *made(layout, params))))
    params, facts, log = pickle.loads(done.read_bytes())
    return Chain(layout, params, facts, log)


def made(layout: Layout, params: Params) -> tuple[dict[str, dict[str, Any]], str]:
    """Run every stage; give what they said, and their log."""
    with redirect_stderr(io.StringIO()) as log:
        facts = run_chain(layout, params)
    return facts, log.getvalue()


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A chat endpoint that answers as it is set."""
    running = ChatServer()
    yield running
    running.close()

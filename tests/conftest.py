"""A small run of the whole pipeline, made once and only read by the tests; a chat endpoint for each test."""

import io
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
from chat_server import ChatServer
from small_chain import SMALL, Chain, run_chain

from thinkrec.config.sections import Params
from thinkrec.layout import Layout


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A finished run; read it, never write to it (`Chain.copy` gives one to change)."""
    layout = Layout("demo", tmp_path_factory.mktemp("chain"))
    params = Params.model_validate(SMALL)
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()  # as cli/main.py does where stderr is no terminal
    disable_progress_bar()
    with redirect_stderr(io.StringIO()) as log:
        facts = run_chain(layout, params)
    return Chain(layout, params, facts, log.getvalue())


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A chat endpoint that answers as it is set."""
    running = ChatServer()
    yield running
    running.close()

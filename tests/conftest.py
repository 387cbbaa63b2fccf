"""A small run of the whole pipeline, made once and only read by the tests; projects; a chat endpoint."""

import io
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there: several processes run tests at once

import pytest
from chat_server import ChatServer
from filelock import FileLock
from small_chain import Chain, run_chain, small_params

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.layout import Layout
from thinkrec_cli.main import run


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
            done.write_bytes(pickle.dumps((params, *run_all(layout, params))))
    params, facts, log = pickle.loads(done.read_bytes())
    return Chain(layout, params, facts, log)


def run_all(layout: Layout, params: Params) -> tuple[dict[str, dict[str, Any]], str]:
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


@pytest.fixture
def project(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy of the finished run, which is the current folder, with its params.yaml."""
    root = chain.copy(tmp_path).root
    (root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    (root / "data" / "raw").mkdir()
    shutil.move(root / "raw", root / "data" / "raw" / "demo")
    monkeypatch.chdir(root)
    return Layout("demo")


@pytest.fixture(scope="session")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `thinkrec init` makes it: only to be copied."""
    folder = tmp_path_factory.mktemp("new") / "mine"
    assert run(["init", str(folder)]) == 0
    return folder


@pytest.fixture
def made(new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, the working folder."""
    shutil.copytree(new, tmp_path / "mine", symlinks=True)
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"

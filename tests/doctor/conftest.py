"""The finished small run as a project folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from listing import Models
from small_chain import Chain

from thinkrec.config.write import params_text
from thinkrec.layout import Layout


@pytest.fixture
def project(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy of the finished run, which is the current folder, with its params.yaml."""
    root = chain.copy(tmp_path).root
    (root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    (root / "data" / "raw").mkdir()
    shutil.move(root / "raw", root / "data" / "raw" / "demo")
    monkeypatch.chdir(root)
    return Layout("demo")


@pytest.fixture
def models() -> Iterator[Models]:
    running = Models()
    yield running
    running.close()

"""The pages of README.md and docs, taken apart, and a small trained project to try them on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_chain import Chain

from thinkrec.config.sources import DemoSource
from thinkrec.config.write import params_text

_ROWS = "".join(f"u{k % 9},i{k * k % 20},{k % 5 + 1},{10**9 + k}\n" for k in range(180))
_TITLES = "".join(f"i{k},The {name} Film\n" for k, name in enumerate("abcdefghijklmnopqrst"))
FILES = {
    "users.txt": "u0001\nu0002\n",
    "candidates.txt": "i0001\ni0002\ni0003\n",
    "events.csv": f"user,item,rating,timestamp\n{_ROWS}",
    "products.csv": f"item,title\n{_TITLES}",
}
"""Files that commands on the pages name, and what is in them."""


@pytest.fixture(scope="session")
def trained(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain as a project with a params.yaml; only to be copied."""
    root = chain.copy(tmp_path_factory.mktemp("trained")).root
    source = DemoSource(reader="demo", raw="raw", watch="raw")
    params = chain.params.model_copy(update={"datasets": {"demo": source}})
    for name, text in {"params.yaml": params_text(params), **FILES}.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, in which the test stands."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    monkeypatch.chdir(root)
    return root

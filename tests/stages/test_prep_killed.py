"""`prep` killed at any moment: nothing half-written is there, and the next run gives the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from generated import Shape, write_amazon

from thinkrec.config.sections import Params
from thinkrec.layout import Layout
from thinkrec_cli.main import run

TABLES = ("interactions", "items", "users", "truth", "graph", "quarantine")
KILLS, WRITING = 20, 4
"""Moments in all, and those of them in the writing at the end, which is short."""
SOURCE = {
    "reader": "book",
    "raw": "raw",
    "watch": "raw",
    "min_interactions": 3,
    "first_day": None,
    "split": {"rule": "share"},
}
COMMAND = [
    sys.executable,
    "-c",
    "import thinkrec_cli.main as m; raise SystemExit(m.run())",
    "prep",
    "--dataset",
    "books",
]


def start(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def finish(root: Path) -> None:
    """The same run in this process, which nobody disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert run(COMMAND[3:]) == 0


def tables(layout: Layout) -> dict[str, bytes]:
    """Bytes of the tables that are there."""
    paths = {name: getattr(layout, name) for name in TABLES}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def killed(root: Path, ready: Callable[[], bool], pause: float) -> bool:
    """Whether a run was killed so many seconds after it was `ready`, rather than over before."""
    process = start(root)
    while process.poll() is None and not ready():
        time.sleep(0.0005)
    time.sleep(pause)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_the_next_one_keeps(tmp_path: Path) -> None:
    layout, chance = Layout("books", tmp_path), random.Random(7)
    write_amazon(tmp_path / "raw", Shape(reviews=6_000, items=600, dirt=0.02), ending=".json")
    params = Params.model_validate({"datasets": {"books": SOURCE}})
    (tmp_path / "params.yaml").write_text(params.model_dump_json(), encoding="utf-8")
    finish(tmp_path)
    whole, there = tables(layout), files(tmp_path)
    assert set(whole) == set(TABLES)
    began = time.perf_counter()
    assert start(tmp_path).wait() == 0
    seconds = time.perf_counter() - began
    assert tables(layout) == whole

    def half_written() -> bool:
        return any(layout.data.glob(".*.partial"))

    kills = tries = reading = halves = 0
    while kills < KILLS:
        tries += 1
        assert tries <= 3 * KILLS, f"most runs end before they are killed: {kills} of {tries} were"
        if kills % 2:  # every other run starts from nothing
            shutil.rmtree(layout.data)
        if kills < KILLS - WRITING:
            moment = (kills + chance.random()) / (KILLS - WRITING) * seconds
            kills += killed(tmp_path, lambda: True, moment)
        else:
            kills += killed(tmp_path, half_written, chance.random() * 0.01)
        reading += layout.work("prep").exists()
        halves += half_written()
        assert tables(layout).items() <= whole.items(), "a table is there, but not whole"
        finish(tmp_path)
        assert tables(layout) == whole
        assert files(tmp_path) == there
        assert not layout.work("prep").parent.exists()
    assert reading and halves, f"no moment was in the reading ({reading}) or in the writing ({halves})"

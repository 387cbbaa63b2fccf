"""A stage that is killed at any rename, unlink or removal leaves the old outputs or the new ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_chain import Chain

from thinkrec.artifacts.lock import finish_pending
from thinkrec.artifacts.run import running
from thinkrec.config.sources import DemoSource, ShareSplit
from thinkrec.data.prepare import prepare
from thinkrec.experts.cluster import cluster_users
from thinkrec.files import discard, whole
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import STAGES
from thinkrec.stages.baselines import fit_baselines
from thinkrec.stages.summarize import summarize
from thinkrec.stages.synthesize import synthesize

OPERATIONS = ("rename", "replace", "unlink", "remove", "rmdir")
MADE = [name for name in STAGES if "agent" not in name and name != "trajectories"]
SOURCE = DemoSource(reader="demo", raw="raw", split=ShareSplit(rule="share"))
REAL: dict[str, Callable[[Layout, Any], Any]] = {
    "prep": lambda layout, p: prepare(layout, SOURCE, p.prep),
    "summarize": lambda layout, p: summarize(layout, p.summarize),
    "synthesize": lambda layout, p: synthesize(layout, p.synthesize, p.prompt, "frozen", p.seed),
    "baselines": lambda layout, p: fit_baselines(layout, p.baselines, p.seed, p.choose_by),
    "cluster": lambda layout, p: cluster_users(layout, p.cluster, p.seed),
}


class Killed(BaseException):
    """Stands for SIGKILL: from then on nothing reaches the disk."""


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Let the process "die" at an operation on names: it and all later ones fail, also in clean-ups."""
    left = number
    patch = pytest.MonkeyPatch()

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*arguments, **options)

        return act

    for name in OPERATIONS:
        patch.setattr(os, name, dying(getattr(os, name)))
    try:
        yield
    finally:
        patch.undo()


def outputs(layout: Layout, stage: str) -> dict[str, bytes]:
    """Every file of a stage's outputs, its manifest and its record."""
    names = (*STAGES[stage].outputs, *STAGES[stage].reports)
    tops = [*(path_of(layout, name) for name in names), layout.manifest(stage), layout.record(stage)]
    files = (path for top in tops for path in ([top] if top.is_file() else sorted(top.rglob("*"))))
    return {str(path.relative_to(layout.root)): path.read_bytes() for path in files if path.is_file()}


def leftovers(layout: Layout) -> list[str]:
    """What was put aside and not removed; `whole` itself sweeps what dead processes have written."""
    aside = [str(path) for path in layout.root.rglob("*.old")]
    return [*aside, *(str(path) for path in layout.journal("x").parent.glob("*.json"))]


def changed(layout: Layout, stage: str) -> None:
    """Write all outputs of a stage anew, each with a byte more, and give up what it resumed from."""
    for name in (*STAGES[stage].outputs, *STAGES[stage].reports):
        path = path_of(layout, name)
        with whole(path) as beside:
            if path.is_dir():
                shutil.copytree(path, beside)
                for each in sorted(beside.rglob("*")):
                    if each.is_file():
                        each.write_bytes(each.read_bytes() + b" ")
            else:
                beside.write_bytes(path.read_bytes() + b" ")
    discard(layout.work(stage))


def attempt(layout: Layout, chain: Chain, stage: str, stop: int, run: Callable[[], Any]) -> bool:
    """Run a stage that dies at operation `stop`; then whoever comes next. Returns whether it died."""
    died = False
    try:
        with killed_at(stop), running(layout, stage, chain.params):
            run()
    except Killed:
        died = True
    finish_pending(layout)
    return died


def parted(layout: Layout, stage: str) -> tuple[dict[str, bytes], bytes]:
    """A stage's outputs, and its record, whose seconds differ from run to run."""
    found = outputs(layout, stage)
    return found, found.pop(str(layout.record(stage).relative_to(layout.root)), b"")


@pytest.mark.parametrize("stage", MADE)
def test_outputs_of_a_killed_stage_are_old_or_new(chain: Chain, tmp_path: Path, stage: str) -> None:
    whole_run = chain.copy(tmp_path / "whole")
    old, record = parted(whole_run, stage)
    with running(whole_run, stage, chain.params):
        changed(whole_run, stage)
    new = parted(whole_run, stage)[0]
    assert all(new[name] != old[name] for name in old)
    ends = []
    for stop in range(500):
        layout = chain.copy(tmp_path / str(stop))
        layout.work(stage).mkdir(parents=True)
        died = attempt(layout, chain, stage, stop, lambda there=layout: changed(there, stage))
        found, told = parted(layout, stage)
        assert found in (old, new), stop
        assert (told == record) == (found == old) == layout.work(stage).exists(), stop
        ends.append(found == new)
        shutil.rmtree(layout.root)
        if not died:
            break
    assert not died and ends == sorted(ends)  # old until the journal is written, new from then on
    assert ends.count(False) >= 1 and ends.count(True) > 2


@pytest.mark.parametrize("stage", REAL)
def test_real_stages_killed_anywhere(chain: Chain, tmp_path: Path, stage: str) -> None:
    expected, _ = parted(chain.layout, stage)
    layout = chain.copy(tmp_path)

    def forget() -> None:
        for path in (path_of(layout, name) for name in STAGES[stage].outputs):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        layout.manifest(stage).unlink()

    forget()
    ends = []
    for stop in range(500):
        died = attempt(layout, chain, stage, stop, lambda: REAL[stage](layout, chain.params))
        found, _ = parted(layout, stage)
        assert found in ({}, expected), stop
        ends.append(bool(found))
        if not died:
            break
        if found:
            forget()
    assert not died and ends == sorted(ends)
    assert ends.count(False) >= 1 and ends.count(True) > 2
    assert leftovers(layout) == []

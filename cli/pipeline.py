"""dvc.yaml made from the table of stages: `python -m thinkrec_cli.pipeline [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import thinkrec
from thinkrec.artifacts.manifest import path_of
from thinkrec.config.sections import Params
from thinkrec.config.tree import dumped
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES, Stage
from thinkrec.systems.registry import SYSTEMS, needs_of
from thinkrec_cli.generated import write
from thinkrec_cli.imports import reached

ROOT = Path(thinkrec.__file__).parents[1]
_HEAD = """\
# One stage a command, for every data set that params.yaml names. A stage runs again when an input, one of
# its sections of params.yaml or its own code changes: exactly the files that its module imports.
# Made by `python -m thinkrec_cli.pipeline` from thinkrec/pipeline.py; `.ci/run` checks that it is up
# to date.

# Results that were measured on data which may not be passed on; git keeps them for `dvc metrics show` and
# `diff`.
metrics:
  - reports/ml1m/metrics.json

stages:
"""
_SOME = Layout("some-data-set")
"""Stands for any data set."""
_NAMES = {"datasets": "${key}", "agents": "${item}"}
"""How an entry calls the data set, by the key of params.yaml over which it goes."""


def pipeline() -> str:
    """The text of dvc.yaml."""
    entries = [_demo(), *(_entry(stage) for stage in STAGES.values())]
    return _HEAD + "\n".join("".join(f"  {line}\n" for line in entry) for entry in entries)


def code_of(stage: Stage) -> list[str]:
    """Files of this project that decide what a stage makes."""
    module = ROOT.joinpath(*stage.module.split(".")).with_suffix(".py")
    return sorted({*reached(module, ROOT), *stage.code})


def _demo() -> Iterator[str]:
    """The embedded data set's raw files, which belong to no data set of params.yaml."""
    yield "demo:"
    yield "  cmd: thinkrec fetch demo"
    yield from _listed("deps", sorted(reached(ROOT / "thinkrec" / "demo" / "generate.py", ROOT)), 1)
    yield "  params: [demo]"
    yield from _listed("outs", ["data/raw/demo"], 1)


def _entry(stage: Stage) -> Iterator[str]:
    name = _NAMES[stage.over]
    watched = ["${item.watch}"] if "datasets.*" in stage.params else []
    keys = (f'"{key[:-1]}{name}"' if key.endswith(".*") else key for key in stage.params)
    yield f"{stage.name}:"
    yield f"  foreach: ${{{stage.over}}}"
    yield "  do:"
    yield f"    cmd: thinkrec {stage.name} --dataset {name}"
    inputs = _places([*stage.inputs, *_needs(stage)], name)
    yield from _listed("deps", [*watched, *inputs, *code_of(stage)], 2)
    yield f"    params: [{', '.join(keys)}]"
    plain = [each for each in stage.made if each not in stage.plots and each not in stage.metrics]
    own = [path.as_posix().replace(_SOME.dataset, name) for path in _own(stage)]
    yield from _listed("outs", map(_kept, [*_places(plain, name), *own]), 2)
    yield from _listed("metrics", map(_kept, _places(stage.metrics, name)), 2)
    drawn = {
        path: f"x: {plot.x}, y: {plot.y}, template: {plot.template}"
        for each, plot in stage.plots.items()
        for path in _places([each], name)
    }
    yield from _listed("plots", (f"{path}: {{cache: false, {said}}}" for path, said in drawn.items()), 2)


def _needs(stage: Stage) -> list[str]:
    """Artifacts of all systems that a stage's section may name."""
    section = dumped(Params())[stage.name]
    return needs_of(Params(), SYSTEMS) if "systems" in section else []


def _own(stage: Stage) -> tuple[Path, Path]:
    """What every stage writes about itself: its manifest and its run record."""
    return _SOME.manifest(stage.name), _SOME.record(stage.name)


def _places(artifacts: Iterable[str], name: str) -> list[str]:
    """Where artifacts lie, each once; a part's place is that of the whole."""
    paths = (path_of(_SOME, each.partition("/")[0]).as_posix() for each in artifacts)
    return list(dict.fromkeys(path.replace(_SOME.dataset, name) for path in paths))


def _kept(path: str) -> str:
    """An output; small files of reports are git's, all else is DVC's."""
    return f"{path}: {{cache: false}}" if path.startswith("reports/") and Path(path).suffix else path


def _listed(key: str, lines: Iterable[str], depth: int) -> Iterator[str]:
    """A list in block style; nothing where it is empty."""
    given = list(lines)
    if given:
        yield f"{'  ' * depth}{key}:"
        yield from (f"{'  ' * (depth + 1)}- {line}" for line in given)


if __name__ == "__main__":
    sys.exit(write(Path("dvc.yaml"), pipeline(), "thinkrec_cli.pipeline", "--check" in sys.argv[1:]))

"""Generate dvc.yaml from the table of stages: `python -m thinkrec_cli.pipeline [--check]`.

In the clone, stages depend on source files; in other projects, on fingerprints of the installed code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from thinkrec.config.sections import Params
from thinkrec.config.shared import SHARED
from thinkrec.config.tree import dumped
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import MAKERS, STAGES, Stage, named
from thinkrec.systems.registry import SYSTEMS, needs_of
from thinkrec_cli.fingerprints import DEMO, code_of, demo_code, place
from thinkrec_cli.generated import write

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
_PROJECT_HEAD = """\
# One stage a command, for every data set that params.yaml names. A stage runs again when an input, one of
# its sections of params.yaml or the installed code that it depends on changes: `code`, which every run begins
# with, writes down the hashes of that code.
# Made by `thinkrec init`; after an upgrade of thinkrec, `thinkrec init --upgrade .` makes it again.

stages:
"""
_PLAIN_HEAD = _PROJECT_HEAD.replace(
    "\n\nstages:",
    """
# The stages of the language model are left out, since evaluate.systems names none of its systems: once it
# does, `thinkrec init --upgrade .` adds them.

stages:""",
)
REFRESH = "thinkrec code"
"""The command by which a project's dvc.yaml keeps fingerprints of code up to date."""
_SOME = Layout("some-data-set", variant="some-variant")
"""Stands for any data set."""
_NAMES = {"datasets": "${key}", "agents": "${item}"}
"""How an entry calls the data set, by the key of params.yaml over which it goes."""
_PAIRS = {"dataset": "${datasets}", "variant": "${variants}"}
"""Over what an entry of a stage of variants goes; how it calls both."""
_ITEM = {name: f"${{item.{name}}}" for name in _PAIRS}


def pipeline() -> str:
    """Return the text of the clone's dvc.yaml."""
    entries = (_entry(stage, code_of(stage)) for stage in STAGES.values())
    return _HEAD + _text([_demo(demo_code()), *entries])


def project_pipeline(language: bool = True) -> str:
    """Return the text of dvc.yaml in a project outside the clone.

    Args:
        language: with all stages; else with those alone that reports without a language model need.
    """
    head = _PROJECT_HEAD if language else _PLAIN_HEAD
    return f"{head}{_text([_code(language)])}\n{_project_stages(language)}"


def edition(language: bool = True) -> str:
    """Return a hash of the stages in `project_pipeline`."""
    return sha256(_project_stages(language).encode()).hexdigest()[:12]


def _project_stages(language: bool) -> str:
    code = {name: [place(name).as_posix()] for name in (DEMO, *STAGES)}
    if language:
        return _text([_demo(code[DEMO]), *(_entry(stage, code[name]) for name, stage in STAGES.items())])
    plain = [name for name, entry in SYSTEMS.items() if entry.kind != "language model"]
    made = {named(each).made for each in needs_of(Params(), plain)}
    makers = {MAKERS[each.partition(":")[0].partition("/")[0]] for each in made}
    kept = ["prep", *(name for name in STAGES if name in makers), "evaluate"]
    return _text(_entry(STAGES[name], code[name], plain) for name in kept)


def _text(entries: Iterable[Iterator[str]]) -> str:
    return "\n".join("".join(f"  {line}\n" for line in entry) for entry in entries)


def _code(language: bool) -> Iterator[str]:
    """Yield the stage that updates the fingerprints; while they stay the same, no other stage runs again."""
    yield "code:"
    yield f"  cmd: {REFRESH} --edition {edition(language)}"
    yield "  always_changed: true"
    written = (place(name).as_posix() for name in (DEMO, *STAGES))
    yield from _listed("outs", (f"{path}: {{cache: false, persist: true}}" for path in written), 1)


def _demo(code: Iterable[str]) -> Iterator[str]:
    """Yield the stage that generates the embedded data set's raw files."""
    yield f"{DEMO}:"
    yield "  cmd: thinkrec fetch demo"
    yield from _listed("deps", code, 1)
    yield "  params: [demo]"
    yield from _listed("outs", ["data/raw/demo"], 1)


def _entry(stage: Stage, code: Iterable[str], systems: Iterable[str] = SYSTEMS) -> Iterator[str]:
    yield f"{stage.name}:"
    if stage.by_variant:
        yield "  matrix:"
        yield from (f"    {name}: {values}" for name, values in _PAIRS.items())
        depth, name, variant = 1, _ITEM["dataset"], f" --variant {_ITEM['variant']}"
    else:
        yield f"  foreach: ${{{stage.over}}}"
        yield "  do:"
        depth, name, variant = 2, _NAMES[stage.over], ""
    yield from (f"{'  ' * (depth - 1)}{line}" for line in _does(stage, name, variant, code, systems))


def _does(
    stage: Stage, name: str, variant: str, code: Iterable[str], systems: Iterable[str]
) -> Iterator[str]:
    """Yield what a stage runs, reads and writes for the data set `name`."""
    watched = ["${item.watch}"] if "datasets.*" in stage.params else []
    params = [*_inherited(stage), *stage.params]
    keys = (f'"{key[:-1]}{name}"' if key.endswith(".*") else key for key in params)
    yield f"  cmd: thinkrec {stage.name} --dataset {name}{variant}"
    inputs = _places([*stage.inputs, *_needs(stage, systems)], name)
    yield from _listed("deps", [*watched, *inputs, *code], 1)
    yield f"  params: [{', '.join(keys)}]"
    plain = [each for each in stage.made if each not in stage.plots and each not in stage.metrics]
    own = [_of(path.as_posix(), name) for path in _own(stage)]
    yield from _listed("outs", map(_kept, [*_places(plain, name), *own]), 1)
    yield from _listed("metrics", map(_kept, _places(stage.metrics, name)), 1)
    drawn = {
        path: f"x: {plot.x}, y: {plot.y}, template: {plot.template}"
        for each, plot in stage.plots.items()
        for path in _places([each], name)
    }
    yield from _listed("plots", (f"{path}: {{cache: false, {said}}}" for path, said in drawn.items()), 1)


def _inherited(stage: Stage) -> list[str]:
    """Shared sections of params.yaml whose values a stage's section may take over."""
    return [
        name for name, places in SHARED.items() if any(place[0] in stage.params for place in places)
    ]  # fmt: skip


def _needs(stage: Stage, systems: Iterable[str]) -> list[str]:
    """Return the artifacts of the systems that a stage's section may name."""
    section = dumped(Params())[stage.name]
    return needs_of(Params(), systems) if "systems" in section else []


def _own(stage: Stage) -> tuple[Path, Path]:
    """Return the paths of a stage's manifest and run record."""
    return _SOME.manifest(stage.name), _SOME.record(stage.name)


def _places(artifacts: Iterable[str], name: str) -> list[str]:
    """List the places of artifacts, each once: a part lies where the whole does, a variant where all do."""
    parts = {each: named(each) for each in artifacts}
    paths = (
        (_SOME.adapters if part.variant else path_of(_SOME, each.partition("/")[0])).as_posix()
        for each, part in parts.items()
    )
    return list(dict.fromkeys(_of(path, name) for path in paths))


def _of(path: str, name: str) -> str:
    """A path of some data set and some variant as that of those that an entry goes over."""
    return path.replace(_SOME.dataset, name).replace(_SOME.variant, _ITEM["variant"])


def _kept(path: str) -> str:
    """Return the entry of an output: git tracks the small files of reports, DVC everything else."""
    return f"{path}: {{cache: false}}" if path.startswith("reports/") and Path(path).suffix else path


def _listed(key: str, lines: Iterable[str], depth: int) -> Iterator[str]:
    """Yield a list in block style, nothing if it is empty."""
    entries = list(lines)
    if entries:
        yield f"{'  ' * depth}{key}:"
        yield from (f"{'  ' * (depth + 1)}- {line}" for line in entries)


if __name__ == "__main__":
    sys.exit(write(Path("dvc.yaml"), pipeline(), "thinkrec_cli.pipeline", "--check" in sys.argv[1:]))

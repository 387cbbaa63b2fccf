"""The table of stages says what dvc.yaml says."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thinkrec.config.sections import Params
from thinkrec.config.shared import SHARED
from thinkrec.config.tree import dumped
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import COMMANDS, MAKERS, STAGES, named
from thinkrec.systems.registry import SYSTEMS, needs_of

LAYOUT = Layout("demo")
PIPELINE = YAML(typ="safe", pure=True).load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]


def paths(name: str, *kinds: str) -> set[str]:
    entries = [entry for kind in kinds for entry in stage_of(name).get(kind, [])]
    given = (entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)
    own = (re.sub(r"\$\{(item|key|item\.dataset)\}", "demo", path) for path in given)
    return {path.replace("${item.variant}", LAYOUT.variant) for path in own}


def stage_of(name: str) -> dict[str, Any]:
    """Return what dvc.yaml says of a stage."""
    found: dict[str, Any] = PIPELINE[name].get("do", PIPELINE[name])
    return found


def lying(names: tuple[str, ...]) -> set[str]:
    """Where artifacts lie; of a part, where the whole does, of a variant, where all do."""
    return {
        (LAYOUT.adapters if named(name).variant else path_of(LAYOUT, name.partition("/")[0])).as_posix()
        for name in names
    }


def test_the_stages_are_those_of_the_pipeline() -> None:
    assert list(STAGES) == [name for name in PIPELINE if name != "demo"]


@pytest.mark.parametrize("name", STAGES)
def test_inputs_outputs_and_params(name: str) -> None:
    stage = STAGES[name]
    inputs = {path for path in paths(name, "deps") if path.split("/")[0] in ("data", "models")}
    asked = "systems" in dumped(Params())[name]
    assert lying((*stage.inputs, *(needs_of(Params(), SYSTEMS) if asked else ()))) == inputs
    own = {LAYOUT.manifest(name).as_posix(), LAYOUT.record(name).as_posix()}
    assert lying(stage.made) | own == paths(name, "outs", "metrics", "plots")
    said = [param.replace("${key}", "*") for param in stage_of(name)["params"]]
    shared = [name for name, places in SHARED.items() if {place[0] for place in places} & set(stage.params)]
    assert said == shared + list(stage.params)


def test_whatever_is_read_is_made_earlier() -> None:
    order = list(STAGES)
    for name, stage in [*STAGES.items(), *COMMANDS.items()]:
        for each in stage.inputs:
            maker = MAKERS[each.partition("/")[0]]
            assert name in COMMANDS or order.index(maker) < order.index(name)

"""Unfinished work is taken up by the very same run alone."""

from pathlib import Path
from typing import Any

import pytest

from thinkrec.artifacts.check import inputs_of
from thinkrec.artifacts.resume import work_key
from thinkrec.config.sections import Params
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import STAGES

RESUMED = (
    "cf",
    "global",
    "experts",
    "projector",
    "agent-backbone",
    "trajectories",
    "agent-sft",
    "agent-grpo",
)
OTHER: dict[str, Any] = {
    "seed": 8,
    "prompt": {"keywords": 1},
    "cf": {"batch_size": 7},
    "tuned": {"demo": {"gbdt": {"max_leaf_nodes": 3}}},
    "loss": {"reasoning_share": 0.3},
    "gate": {"temperature": 3.0},
    "global": {"lora": {"rank": 3}},
    "experts": {"last_layers": 3},
    "projector": {"expansion": 3},
    "evaluate": {"batch_size": 3},
    "agent": {"max_turns": 2},
    "agent-backbone": {"dtype": "float32"},
    "trajectories": {"max_cases": 9},
    "agent-sft": {"batch_size": 9},
    "agent-grpo": {"steps": 9},
}


def params_of(**sections: Any) -> Params:
    return Params.model_validate(sections)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Every input is a file, an encoder's folder has one in it."""
    made = Layout("demo", tmp_path)
    for name in {each for stage in RESUMED for each in inputs_of(stage, Params())}:
        path = path_of(made, name)
        place = path if path.suffix else path / "model.safetensors"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    return made


@pytest.mark.parametrize("name", RESUMED)
def test_each_input_counts(layout: Layout, name: str) -> None:
    before = work_key(layout, name, Params())
    assert before == work_key(layout, name, Params())
    for each in inputs_of(name, Params()):
        path = path_of(layout, each)
        place = path if path.suffix else path / "model.safetensors"
        place.write_text("changed")
        assert work_key(layout, name, Params()) != before, each
        place.write_text(each)
    assert work_key(layout, name, Params()) == before


@pytest.mark.parametrize("name", ["global", "experts", "projector"])
def test_a_shared_value_counts_where_it_is_not_overridden(layout: Layout, name: str) -> None:
    before = work_key(layout, name, Params())
    shared = {"training": {"batch_size": 3}}
    assert work_key(layout, name, params_of(**shared)) != before
    assert work_key(layout, name, params_of(**shared, **{name: {"batch_size": 48}})) == before


@pytest.mark.parametrize("name", RESUMED)
def test_the_parameters_of_the_stage_count_and_no_others(layout: Layout, name: str) -> None:
    before = work_key(layout, name, Params())
    sections = {key.partition(".")[0] for key in STAGES[name].params}
    changed = {
        key for key, value in OTHER.items() if work_key(layout, name, params_of(**{key: value})) != before
    }
    assert changed == sections & set(OTHER)
    other = params_of(tuned={"ml1m": {"gbdt": {"max_leaf_nodes": 3}}}, evaluate={"reasons": 3})
    assert work_key(layout, name, other) == before


def test_what_tells_works_of_one_stage_apart(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawn").write_text("cases")
    keys = {
        work_key(layout, "cf", Params()),
        work_key(layout, "cf", Params(), "mf"),
        work_key(layout, "cf", Params(), "sasrec"),
        work_key(layout, "cf", Params(), "mf", keys=()),
        work_key(layout, "cf", Params(), files=[tmp_path / "drawn"]),
        work_key(layout, "search", Params(), "mf"),
    }
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len({*keys, work_key(layout, "cf", Params())}) == 7
    assert work_key(layout, "cf", Params(), keys=()) == work_key(layout, "cf", params_of(seed=8), keys=())

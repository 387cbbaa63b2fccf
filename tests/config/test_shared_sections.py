"""Sections whose values reach others, and keys of earlier versions."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from thinkrec.config.load import parse_params
from thinkrec.config.problems import RENAMED, at_odds
from thinkrec.config.sections import Params
from thinkrec.config.shared import written_as
from thinkrec.config.tree import dumped, yaml_text
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError
from thinkrec.systems.registry import entry

GOOD = params_text(Params())
TRAINED = ("global", "experts", "projector")
NAMES = {"datasets": "mine", "tuned": "mine", "cf": "mf", "encoders": "mf"}
"""A name in the place of `*`, by the key in front of it."""


def given() -> dict[str, Any]:
    """A params.yaml with a data set and a choice that have every key."""
    sections = YAML(typ="safe", pure=True).load(GOOD)
    sections["datasets"]["mine"] = {"reader": "custom", "raw": "files", "watch": "files"}
    sections["tuned"]["mine"] = {"cf": {"mf": {}}, "gbdt": {}}
    return dict(sections)


def named(key: str) -> list[str]:
    parts = key.split(".")
    return [NAMES[parts[place - 1]] if part == "*" else part for place, part in enumerate(parts)]


def said(sections: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_params(yaml_text(sections))
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def holds(sections: dict[str, Any], parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(sections, dict) or part not in sections:
            return False
        sections = sections[part]
    return True


@pytest.mark.parametrize("old", RENAMED)
def test_a_key_of_an_earlier_version_is_answered_with_its_new_name(old: str) -> None:
    sections, parts, new = given(), named(old), named(RENAMED[old])
    every = dumped(parse_params(yaml_text(sections)))
    assert holds(every, new)
    assert not holds(every, parts)
    section = sections
    for part in parts[:-1]:
        section = section[part]
    section[parts[-1]] = 1
    (line,) = said(sections)
    assert line.startswith(f"{'.'.join(parts)}: no such key; it is now `{'.'.join(new)}`")


def test_a_system_of_an_earlier_version_is_answered_with_its_new_name() -> None:
    sections = given()
    sections["evaluate"]["systems"] = ["experts"]
    assert said(sections) == ["evaluate.systems.0: `experts` is now called `thinkrec-no-projector`"]


@pytest.mark.parametrize(
    ("key", "value"), [("batch_size", 3), ("epochs", 2.5), ("patience", 2), ("packing", True)]
)
def test_a_value_of_training_reaches_every_stage_that_does_not_override_it(key: str, value: Any) -> None:
    sections = given()
    own = {name: sections[name].get(key) for name in TRAINED}
    sections["training"][key] = value
    every = dumped(parse_params(yaml_text(sections)))
    assert {name: every[name][key] for name in TRAINED} == {
        name: value if own[name] is None else own[name] for name in TRAINED
    }
    for name in TRAINED:
        sections[name][key] = type(value)(1)
    every = dumped(parse_params(yaml_text(sections)))
    assert [every[name][key] for name in TRAINED] == [type(value)(1)] * 3
    assert every["training"][key] == value
    assert dumped(parse_params(params_text(Params.model_validate(sections)))) == every


def test_a_value_of_endpoint_reaches_every_stage_that_does_not_override_it() -> None:
    sections = given()
    sections["endpoint"] |= {"base_url": "http://h/v1", "model": "mine"}
    params = parse_params(yaml_text(sections))
    endpoints = [params.summarize.endpoint, params.synthesize.endpoint, params.trajectories.endpoint]
    assert {each.base_url for each in endpoints} == {"http://h/v1"}
    assert [each.model for each in endpoints] == ["Qwen/Qwen3-8B", "mine", "Qwen/Qwen3-8B"]


@pytest.mark.parametrize(
    ("name", "changes", "lines"),
    [
        ("training", {"packing": 1}, ["training.packing: must be a valid boolean, not 1"]),
        ("training", {"epoch": 1}, ["training.epoch: no such key; did you mean `training.epochs`?"]),
        ("training", 3, ["training: must be a section, with keys of its own"]),
        ("training", {"epochs": None}, ["training.epochs: must be a valid number, not null"]),
        ("endpoint", {"retries": -1}, ["endpoint.retries: must be greater than or equal to 0, not -1"]),
        ("endpoint", "x", ["endpoint: must be a section, with keys of its own"]),
        (
            "endpoint",
            {"key_variable": "sk-proj-1234567890"},
            [
                "endpoint.key_variable: must be the name of the environment variable that holds the key, not "
                "the key"
            ],
        ),
    ],
)
def test_a_wrong_value_of_a_shared_section_is_told_once(name: str, changes: Any, lines: list[str]) -> None:
    sections = given()
    sections[name] = {**sections[name], **changes} if isinstance(changes, dict) else changes
    assert said(sections) == lines


def test_a_wrong_value_in_the_place_of_a_shared_one_is_told_where_it_stands() -> None:
    sections = given()
    sections["training"]["packing"] = sections["experts"]["packing"] = 1
    sections["synthesize"]["endpoint"] = {"retries": -1}
    assert said(sections) == [
        "synthesize.endpoint.retries: must be greater than or equal to 0, not -1",
        "training.packing: must be a valid boolean, not 1",
        "experts.packing: must be a valid boolean, not 1",
    ]


def test_what_a_shared_section_lacks_is_told_once() -> None:
    sections = given()
    del sections["training"]["batch_size"], sections["endpoint"], sections["projector"]["expansion"]
    assert said(sections) == [
        "endpoint: the section is missing",
        "training.batch_size: is missing; its default is 48",
        "projector.expansion: is missing; its default is 10",
    ]
    del sections["training"]
    assert "training: the section is missing" in said(sections)
    assert len(said(sections)) == 3


def test_a_value_is_called_by_where_it_is_written() -> None:
    values = dumped(Params())
    assert written_as("global.batch_size", values) == "training.batch_size"
    assert written_as("experts.learning_rate", values) == "experts.learning_rate"  # its own
    assert written_as("synthesize.endpoint.retries", values) == "endpoint.retries"
    assert written_as("summarize.endpoint.model", values) == "summarize.endpoint.model"
    assert written_as("global.lora.rank", values) == "global.lora.rank"
    assert written_as("prompt.keywords", values) == "prompt.keywords"


@pytest.mark.parametrize(
    ("stage", "systems", "wrong"),
    [
        ("evaluate", ["encoders", "gbdt"], False),
        ("evaluate", ["backbone", "global", "tallrec", "thinkrec-no-experts-no-projector"], False),
        ("evaluate", ["collm"], True),
        ("evaluate", ["thinkrec-no-projector"], True),
        ("evaluate-agent", ["mf", "global"], False),
        ("evaluate-agent", ["thinkrec-no-experts"], True),
    ],
)
def test_the_encoder_of_groups_matters_to_systems_with_vectors_alone(
    stage: str, systems: list[str], wrong: bool
) -> None:
    values = dumped(Params()) | {"agents": []}
    values["cf"] |= {"models": ["mf"]}
    values["cluster"] |= {"encoder": "lightgcn"}
    values["agent"] |= {"encoder": "mf"}
    values[stage] |= {"systems": systems}
    lines = at_odds(Params.model_validate(values), [stage])
    assert any("cluster.encoder" in line for line in lines) == wrong


def test_the_earlier_name_of_a_system_is_answered() -> None:
    sections = given()
    sections["evaluate"]["systems"] = ["experts"]
    assert said(sections) == ["evaluate.systems.0: `experts` is now called `thinkrec-no-projector`"]
    with pytest.raises(ConfigError, match=r"system: 'experts' is now called 'thinkrec-no-projector'"):
        entry("experts")

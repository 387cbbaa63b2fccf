"""Trackers: the curves of a training arrive, and nothing that it makes changes."""

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from small_chain import Chain
from tensorboardX.proto.event_pb2 import Event

from thinkrec.artifacts.check import values_of
from thinkrec.config.load import parse_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout
from thinkrec.llm.tracking import UNTRACKED, Tracking
from thinkrec.pipeline import STAGES
from thinkrec.stages import global_


def scalars(path: Path) -> dict[str, list[int]]:
    """The steps of each series in a file of events: records of length, checksum, data, checksum."""
    data, found, place = path.read_bytes(), dict[str, list[int]](), 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        event = Event.FromString(data[place + 12 : place + 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
        place += 16 + length
    return found


def test_tensorboard_gets_the_curves_and_the_adapter_stays_the_same(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    params = chain.params.model_copy(update={"report_to": "tensorboard"})
    adapter = layout.global_adapter / "adapter_model.safetensors"
    before = adapter.read_bytes()
    facts = global_.run(layout, params)
    assert facts == chain.facts["global"] and adapter.read_bytes() == before
    (events,) = layout.logs.rglob("events.out.tfevents.*")
    assert events.parent.parent == layout.logs / "demo-global-thinkrec-seed-7"
    found = scalars(events)
    assert {"train/loss", "train/bce", "eval/auc", "eval/choice"} <= found.keys()
    assert facts["chosen_step"] in found["eval/choice"]


def test_no_output_of_a_stage_lies_in_the_folder_of_logs() -> None:
    from thinkrec.layout import path_of

    layout = Layout("demo")
    outputs = {path_of(layout, each) for stage in STAGES.values() for each in stage.made}
    assert not any(layout.logs.is_relative_to(path) or path.is_relative_to(layout.logs) for path in outputs)


def test_no_stage_depends_on_the_tracker() -> None:
    tracked = Params.model_validate({"report_to": "wandb"})
    for stage in STAGES.values():
        assert values_of(tracked, "demo", stage.params) == values_of(Params(), "demo", stage.params)


def test_none_is_passed_on_as_no_tracker(tmp_path: Path) -> None:
    assert UNTRACKED.arguments() == {"report_to": []}
    tracking = Tracking.of(Layout("demo", tmp_path), Params(), "projector")
    assert tracking.arguments() == {"report_to": []}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tracker", "package"),
    [("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("mlflow", "mlflow"), ("trackio", "trackio")],
)
def test_a_package_that_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tracker: str, package: str
) -> None:
    from transformers.integrations import integration_utils

    monkeypatch.setattr(integration_utils, f"is_{tracker}_available", lambda: False)
    with pytest.raises(ConfigError) as error:
        Tracking.of(Layout("demo"), Params.model_validate({"report_to": tracker}), "global")
    assert str(error.value) == (
        f"report_to is {tracker}, and the package {package} is not installed: install it (`pip install "
        f"{package}`), or set report_to to none in params.yaml"
    )


def test_each_training_is_a_run_of_its_own_for_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its callback goes on with the run that is open, so one of an earlier training has to end."""
    ended: list[str] = []
    module: Any = types.ModuleType("wandb")
    module.run, module.finish = "an earlier one", lambda: ended.append("an earlier one")
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "")  # so that what is set here ends with the test
        monkeypatch.delenv(name)
    tracking = Tracking("wandb", "demo-experts", tmp_path / "logs").of_part("2")
    assert tracking.arguments() == {
        "report_to": ["wandb"], "run_name": "demo-experts-2", "project": "thinkrec",
    }  # fmt: skip
    assert ended == ["an earlier one"] and os.environ["WANDB_DIR"] == str(tmp_path / "logs")


def test_an_unknown_tracker_is_refused_with_those_that_are_known() -> None:
    text = params_text(Params()).replace("report_to: none", "report_to: comet")
    with pytest.raises(ConfigError, match=r"report_to: must be .*tensorboard"):
        parse_params(text)

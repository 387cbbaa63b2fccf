"""Several trainings of a variant: each stands on its own seed, all are scored, none is trained twice."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from small_chain import Chain

from thinkrec.artifacts.run import running
from thinkrec.artifacts.shared import ready_made
from thinkrec.audit.adapters import check_adapters, check_projectors
from thinkrec.audit.coverage import coverage_of
from thinkrec.config.sections import Params
from thinkrec.costs import estimate as costs
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm import trainer
from thinkrec.reports.comparison import compare_systems
from thinkrec.reports.predictions import load_predictions, load_seeds
from thinkrec.runs import read_curve
from thinkrec.stages import experts, global_, projector, seeds
from thinkrec.stages.dry_run import dry_run
from thinkrec.stages.evaluate import run as evaluate
from thinkrec.stages.export import find_adapter

STAGES: dict[str, Callable[[Layout, Params], Any]] = {
    "global": global_.run, "experts": experts.run, "projector": projector.run,
}  # fmt: skip
TRAINED = ("global", "thinkrec-no-projector", "thinkrec")
LORA, LAYER = "adapter_model.safetensors", ".layers.0."


@dataclass(frozen=True)
class Twice:
    """The small run with two trainings of the language model.

    Args:
        layout: of the first seed.
        params: with which they were trained.
        facts: of each stage.
    """

    layout: Layout
    params: Params
    facts: dict[str, Any]


@pytest.fixture(scope="module")
def twice(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Twice:
    layout = chain.copy(tmp_path_factory.mktemp("seeds"))
    systems = ["backbone", *TRAINED]
    options = chain.params.evaluate.model_copy(update={"systems": systems, "reasons": 0})
    params = chain.params.model_copy(update={"seeds": 2, "evaluate": options})
    facts = {}
    for stage, run in STAGES.items():
        with running(layout, stage, params) as said:
            said.update(run(layout, params))
        facts[stage] = said
    evaluate(layout, params)
    return Twice(layout, params, facts)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a training, but for those of further seeds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.relative_to(folder).parts[0] != "seeds"
    }


def folders(layout: Layout) -> dict[str, Path]:
    return {"global": layout.global_adapter, "experts": layout.experts, "projector": layout.projector}


def test_the_first_seed_is_what_one_training_makes(chain: Chain, twice: Twice) -> None:
    alone = folders(chain.layout)
    for stage, folder in folders(twice.layout).items():
        assert contents(folder) == contents(alone[stage])
        first = {key: said for key, said in twice.facts[stage].items() if key != "seeds"}
        assert first == chain.facts[stage] and "seeds" not in chain.facts[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_further_seed_is_what_a_run_with_it_makes_of_the_parts_of_that_seed(
    twice: Twice, stage: str, tmp_path: Path
) -> None:
    """Groups, vectors, rationales and backbone are those of the first seed."""
    shutil.copytree(twice.layout.root, tmp_path / "other")
    other = Layout("demo", tmp_path / "other")
    for name, folder in folders(twice.layout.of_seed(8)).items():
        shutil.rmtree(folders(other)[name])
        if name != stage:
            shutil.copytree(folder, folders(other)[name])
    facts = STAGES[stage](other, twice.params.model_copy(update={"seed": 8, "seeds": 1}))
    made = contents(folders(other)[stage])
    assert made == contents(folders(twice.layout.of_seed(8))[stage])
    assert made.keys() == contents(folders(twice.layout)[stage]).keys()
    assert facts == twice.facts[stage]["seeds"]["8"]


def test_experts_of_a_seed_start_from_its_own_global_lora(twice: Twice) -> None:
    first, further = (load_file(each.global_adapter / LORA) for each in at_both(twice))
    expert = load_file(twice.layout.of_seed(8).expert(1) / LORA)
    frozen = [name for name in first if LAYER in name]
    assert frozen and all(expert[name].equal(further[name]) for name in frozen)
    assert any(not expert[name].equal(first[name]) for name in frozen)


def at_both(twice: Twice) -> tuple[Layout, Layout]:
    return twice.layout, twice.layout.of_seed(8)


def test_curves_name_the_seed(twice: Twice) -> None:
    names = {stage: {row["model"] for row in read_curve(twice.layout, stage)} for stage in STAGES}
    assert names["global"] == {"global", "global, seed 8"}
    assert names["experts"] == {"expert 1", "expert 2", "expert 1, seed 8", "expert 2, seed 8"}
    assert names["projector"] == {"projector", "projector, seed 8"}


def test_facts_say_what_was_chosen_for_each_seed(twice: Twice) -> None:
    further = twice.facts["experts"]["seeds"]["8"]["groups"]
    told = [twice.facts[stage]["seeds"]["8"] for stage in ("global", "projector")]
    for said in (*told, *further.values()):
        assert {"chosen_step", "valid_auc", "valid_uauc"} <= said.keys()
    assert len(further) == 2 and twice.facts["global"]["valid_auc"] != told[0]["valid_auc"]


def test_every_seed_is_scored_under_each_protocol(twice: Twice) -> None:
    metrics = read_json(twice.layout.metrics)
    for protocol in twice.params.evaluate.protocols:
        for name in TRAINED:
            (number, further), = load_seeds(twice.layout, protocol, name).items()  # fmt: skip
            first = load_predictions(twice.layout.prediction(protocol, name))
            assert number == 8 and np.abs(first.score - further.score).max() > 1e-4
            assert metrics[protocol][name]["test/seeds"]["seeds"] == 2
        assert not load_seeds(twice.layout, protocol, "backbone")
        assert "test/seeds" not in metrics[protocol]["backbone"]


def test_compare_draws_from_all_and_gives_both_deviations(twice: Twice) -> None:
    found = compare_systems(twice.layout, "thinkrec", "item_mean", "frozen", "test", 60, 7)
    assert found["trainings"] == {"a": 2, "b": 1}
    spread = read_json(twice.layout.metrics)["frozen"]["thinkrec"]["test/seeds"]["auc_sd"]
    assert found["slices"]["test"]["auc"]["sd_trainings"] == pytest.approx(spread, abs=2e-8) and spread > 0
    bare = compare_systems(twice.layout, "backbone", "item_mean", "frozen", "test", 60, 7)
    assert bare["slices"]["test"]["auc"]["sd_trainings"] is None


def failed(layout: Layout, params: Params) -> list[str]:
    checks = [*check_adapters(layout, params), *check_projectors(layout, params)]
    return [f"{each.claim}: {each.said}" for each in checks if each.verdict == "FAILED"]


def test_the_audit_checks_further_seeds_as_the_first(twice: Twice, tmp_path: Path) -> None:
    claims = [each.claim for each in check_adapters(twice.layout, twice.params)]
    assert len([claim for claim in claims if "seed 8" in claim]) == 5  # global, 2 experts, and two of both
    assert not failed(twice.layout, twice.params)
    further = [path for path in twice.layout.adapters.rglob("*") if path.is_file() and "seeds" in path.parts]
    root = twice.layout.root
    assert further and all(coverage_of(path.relative_to(root).as_posix()) for path in further)

    shutil.copytree(root, tmp_path / "other")
    other = Layout("demo", tmp_path / "other")
    lines = other.curve("global").read_text().splitlines()
    step = twice.facts["global"]["seeds"]["8"]["chosen_step"]
    changed = [re.sub(rf'^("global, seed 8",{step},eval_auc),.*', r"\1,0.99", line) for line in lines]
    assert changed != lines
    other.curve("global").write_text("\r\n".join(changed) + "\r\n")
    config = other.of_seed(8).expert(2) / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": ', '"r": 1'))
    shutil.rmtree(other.of_seed(8).projector)
    wrong = failed(other, twice.params)
    assert [line.partition(":")[0] for line in wrong] == ["global, seed 8", "experts 2, seed 8", "thinkrec"]
    assert "valid AUC" in wrong[0] and "adapter_config.json disagrees about r" in wrong[1]
    assert "projector has further seeds none, params.yaml says 8: run `thinkrec projector" in wrong[2]


def test_a_dry_run_counts_every_seed(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "SECONDS", {"training": 0.01, "scoring": 0.01})
    one = twice.params.model_copy(update={"seeds": 1})
    for stage in STAGES:
        once, all_of_them = (dry_run(stage, twice.layout, params) for params in (one, twice.params))
        for before, after in zip(once.parts, all_of_them.parts, strict=True):
            assert (after.steps, after.passes) == (2 * before.steps, 2 * before.passes)
            assert after.flops == 2 * before.flops and after.name == f"{before.name}, 2 seeds"
    scored = {part.name for part in dry_run("evaluate", twice.layout, twice.params).parts}
    assert scored - {"gate"} == {
        f"{name}, {protocol}{said}"
        for names, said in ((["backbone"], ""), (TRAINED, ", 2 seeds"))
        for name in names
        for protocol in twice.params.evaluate.protocols
    }


def test_export_takes_the_first(twice: Twice) -> None:
    assert find_adapter(twice.layout, "global") == twice.layout.global_adapter
    assert find_adapter(twice.layout, "2") == twice.layout.expert(2)


def test_a_copied_part_has_all_seeds(twice: Twice, tmp_path: Path) -> None:
    shutil.copytree(twice.layout.root, tmp_path / "other")
    tall, other = (Layout("demo", tmp_path / "other", name) for name in ("tallrec", "collm"))
    with running(tall, "global", twice.params) as said:
        said.update(global_.run(tall, twice.params.of_variant("tallrec")))
    with running(other, "global", twice.params) as said:
        said.update(ready_made(other, "global", twice.params) or {})
    assert "copied from tallrec" in said["trained"]
    assert other.seeds == [8]
    for seed in (None, 8):
        ours, theirs = (place.of_seed(seed).global_adapter for place in (other, tall))
        assert contents(ours) == contents(theirs)
    fewer = twice.params.model_copy(update={"seeds": 1})
    assert "trained" not in (ready_made(other, "global", fewer) or {})


class StoppedError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("damaged", [False, True])
def test_a_stopped_stage_trains_no_finished_seed_again(
    twice: Twice, damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(twice.layout.root, tmp_path / "other")
    layout, trained = Layout("demo", tmp_path / "other"), []
    before = contents(layout.of_seed(8).global_adapter)
    real = trainer.train

    def train(*args: Any, **options: Any) -> Any:
        trained.append(args[5])
        if trained == [7, 8]:
            raise StoppedError
        return real(*args, **options)

    monkeypatch.setattr(trainer, "train", train)
    with pytest.raises(StoppedError):
        global_.run(layout, twice.params)
    finished, = layout.work("global").glob("*-finished")  # fmt: skip
    if damaged:
        (finished / LORA).write_bytes(b"x")
    facts = global_.run(layout, twice.params)
    assert trained == ([7, 8, 7, 8] if damaged else [7, 8, 8])
    assert facts == twice.facts["global"]
    assert contents(layout.of_seed(8).global_adapter) == before
    assert contents(layout.global_adapter) == contents(twice.layout.global_adapter)
    assert not layout.work("global").exists()


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ({}, None),
        ({"layout": "timeline"}, "prompt.layout timeline: a pass reads 2 to 3 times"),
        ({"verdicts": "before"}, "prompt.verdicts before: a pass reads about 19 times"),
        ({"history_labels": False}, "prompt.history_labels false: a pass reads about 19 times"),
    ],
)
def test_history_without_effect_is_told_once_a_stage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    prompt: dict[str, Any],
    told: str | None,
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "_finished", stop)
    params = Params.model_validate({"prompt": prompt, "projector": {"history": False}, "seeds": 3})
    for stage in ("global", "projector"):
        with pytest.raises(KeyboardInterrupt):
            seeds.train_seeds(stage, Layout("demo", tmp_path), params, tmp_path / "to", stop)
    said = f"global.history is true, but has no effect with {told} the tokens that it would read"
    assert caplog.messages == ([f"{said} (measured on the embedded data set)"] if told else [])

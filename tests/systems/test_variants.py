"""Variants of the language model: each trained with its own switches, equal parts once, all in the report."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
import pytest
from small_chain import Chain

import thinkrec
from thinkrec.artifacts.check import check, iter_faults
from thinkrec.artifacts.run import running
from thinkrec.artifacts.shared import LEFT_OUT, ready_made
from thinkrec.audit.files import check_files
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, ModelError
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES
from thinkrec.prompts.render import PromptWriter
from thinkrec.reports.page import runs_of
from thinkrec.stages.audit import audit
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, needs_of_stage
from thinkrec.variants import DEFAULT, VARIANTS, systems_of
from thinkrec_cli.main import run as thinkrec_command

OTHERS = [name for name in VARIANTS if name != DEFAULT]
COPIED = {  # stage and variant, and whose part it is
    ("global", "thinkrec-no-experts"): "thinkrec",
    ("global", "thinkrec-no-both"): "thinkrec-no-think",
    ("global", "collm"): "tallrec",
}
LACKING = {(stage, name) for name, row in VARIANTS.items() for stage in ("experts", "projector")
           if not getattr(row, stage)}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """All variants on the small run.

    Args:
        layout: of the default variant.
        params: with which they were trained.
        facts: of each stage and variant.
    """

    layout: Layout
    params: Params
    facts: dict[tuple[str, str], dict[str, object]]

    def of(self, variant: str) -> Layout:
        return self.layout.of(variant)


@pytest.fixture(scope="module")
def trained(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Every variant trained, then evaluated."""
    layout = chain.copy(tmp_path_factory.mktemp("variants"))
    systems = ["mf", "backbone", "global", "variants"]
    params = chain.params.model_copy(
        update={
            "variants": list(VARIANTS),
            "evaluate": chain.params.evaluate.model_copy(update={"systems": systems, "reasons": 2}),
        }
    )
    facts = {}
    for variant in OTHERS:
        for stage in ("global", "experts", "projector"):
            place = layout.of(variant)
            with running(place, stage, params) as said:
                made = ready_made(place, stage, params)
                if made is None:
                    made = import_module(STAGES[stage].module).run(place, params.of_variant(variant))
                said.update(made)
            facts[stage, variant] = made
    with running(layout, "evaluate", params, needs_of_stage(params, "evaluate")) as said:
        said.update(import_module(STAGES["evaluate"].module).run(layout, params))
    facts["evaluate", ""] = said
    return Trained(layout, params, facts)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_equal_parts_are_trained_once_and_no_others(trained: Trained) -> None:
    copied = {key for key, said in trained.facts.items() if "copied from" in str(said.get("trained"))}
    assert copied == set(COPIED)
    for (stage, variant), source in COPIED.items():
        assert trained.facts[stage, variant]["trained"] == (
            f"nothing: copied from {source}, which is trained alike"
        )
        ours, theirs = (trained.of(name).global_adapter for name in (variant, source))
        assert contents(ours) == contents(theirs)


def test_a_copy_is_what_training_makes(trained: Trained, tmp_path: Path) -> None:
    from thinkrec.stages.global_ import run

    shutil.copytree(trained.layout.root, tmp_path / "again")
    place = Layout("demo", tmp_path / "again", "thinkrec-no-both")
    shutil.rmtree(place.global_adapter)
    run(place, trained.params.of_variant(place.variant))
    ours, theirs = (each.global_adapter for each in (place, trained.of(place.variant)))
    assert contents(ours) == contents(theirs)


def test_a_part_that_a_variant_lacks_is_said_to_be(trained: Trained) -> None:
    lacking = {key for key, said in trained.facts.items() if "has no" in str(said.get("trained"))}
    assert lacking == LACKING
    for stage, variant in LACKING:
        place = trained.of(variant)
        assert read_json(getattr(place, stage) / LEFT_OUT)["has"] == f"no {stage}"
        assert place.manifest(stage).exists() and place.curve(stage).exists()


def test_every_variant_is_in_the_report_with_and_without_its_projector(trained: Trained) -> None:
    metrics = read_json(trained.layout.metrics)["frozen"]
    wanted = {"backbone", "global", *(system for name in VARIANTS for system in systems_of(name))}
    assert wanted <= metrics.keys()
    page = trained.layout.page_text.read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in wanted)
    scores = {
        name: pq.read_table(trained.layout.prediction("frozen", name))["score"].to_numpy() for name in wanted
    }
    for name, variant in VARIANTS.items():
        if variant.projector:
            assert np.abs(scores[name] - scores[f"{name}-no-projector"]).max() > 1e-4, name
    # What is trained alike scores alike, and nothing else does.
    np.testing.assert_array_equal(scores["global"], scores["thinkrec-no-experts-no-projector"])
    np.testing.assert_array_equal(scores["tallrec"], scores["collm-no-projector"])
    alike = {"global": "thinkrec-no-experts-no-projector", "tallrec": "collm-no-projector"}
    names = sorted(wanted - set(alike.values()))
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            assert np.abs(scores[one] - scores[other]).max() > 1e-5, (one, other)


def texts(trained: Trained, variant: str, rows: np.ndarray) -> list[str]:
    project = Project(trained.layout, trained.params.of_variant(variant))
    writer = PromptWriter(project.items, project.params.prompt, project.backbone.tokenizer)
    return writer.texts(project.data, rows)


def test_prompts_show_what_the_variant_says(trained: Trained) -> None:
    data = Interactions.load(trained.layout.interactions)
    rows = np.array([row for row in data.rows("test") if data.position[row] >= 8][:5])
    whole, titles, blind = (
        texts(trained, name, rows) for name in ("thinkrec", "tallrec", "thinkrec-no-labels")
    )
    assert all("Disliked" in "".join(each) for each in (whole,))
    assert "Disliked" not in "".join(titles) and "Liked" in "".join(titles)
    assert "Liked" not in "".join(blind) and "Disliked" not in "".join(blind)
    items = Project(trained.layout, trained.params).items
    for row, text in zip(rows.tolist(), titles, strict=True):
        past = np.arange(row - data.position[row], row)
        liked = past[data.label[past] == 1][-trained.params.prompt.history_length :]
        places = [text.find(items.title[data.item_id[one]]) for one in liked]
        assert places == sorted(places) and min(places, default=0) >= 0


def test_liked_histories_by_hand() -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 9, size=20)
    user = np.repeat(np.arange(1, 21), sizes)
    count = len(user)
    position = np.concatenate([np.arange(size) for size in sizes])
    data = Interactions(
        user_id=user, item_id=np.arange(count), label=rng.integers(0, 2, count), timestamp=np.arange(count),
        position=position, split=np.digitize(position, [4, 6]).astype(np.int8),
        not_cold=np.ones(count, dtype=bool),
    )  # fmt: skip
    allowed = {"rolling": lambda k, row: True, "train": lambda k, row: data.split[k] == 0,
               "frozen": lambda k, row: data.split[row] == 0 or data.split[k] < data.split[row]}  # fmt: skip
    for protocol, may in allowed.items():
        found = data.histories(np.arange(count), 3, protocol, "liked")
        for row in range(count):
            past = [k for k in range(row - position[row], row) if data.label[k]]
            past = [k for k in past if may(k, row)][-3:]
            assert found[row].tolist() == [-1] * (3 - len(past)) + past
            assert data.history(row, 3, protocol, "liked").tolist() == past
    nobody = Interactions(*(np.empty(0, np.int64) for _ in range(5)), np.empty(0, np.int8), np.empty(0, bool))
    assert nobody.histories(np.empty(0, np.int64), 3, "rolling", "liked").shape == (0, 3)


def test_a_trained_variant_answers_for_a_user(trained: Trained) -> None:
    (trained.layout.root / "params.yaml").write_text(params_text(trained.params), encoding="utf-8")
    data = Interactions.load(trained.layout.interactions)
    user = pq.read_table(trained.layout.users)["raw_id"].to_pylist()[0]
    every = pq.read_table(trained.layout.items).sort_by("item_id")["raw_id"].to_pylist()
    items = [every[k - 1] for k in range(1, len(every) + 1) if k not in data.item_id[data.user_id == 1]][:3]
    for system in ("collm", "thinkrec-no-experts", "tallrec"):
        found = thinkrec.load(trained.layout.root, dataset="demo", system=system)
        known, new = found.score(user, items), found.score_history([(items[0], True)], items[1:])
        assert np.isfinite(known.scores).all() and np.isfinite(new.scores).all()
        assert ("vector" in known.basis) == VARIANTS[system].projector


def test_the_audit_knows_all_of_their_files(trained: Trained) -> None:
    report = audit(trained.layout, trained.params, deep=True)
    wrong = [check for check in report["checks"] if check["verdict"] == "FAILED"]
    assert not wrong
    assert not [each for each in report["left_out"] if each["why"] == "no check knows this file"]
    claims = [check["claim"] for check in report["checks"] if check["artifact"] == "prompts"]
    assert len(claims) == 4 * len(trained.params.evaluate.protocols)
    assert any("tallrec, collm" in claim for claim in claims)


def test_a_changed_parameter_makes_only_those_stale_that_hang_on_it(trained: Trained) -> None:
    """A variant without rationales has no share of them, whatever params.yaml says."""
    loss = trained.params.loss.model_copy(update={"reasoning_share": 0.3})
    other = trained.params.model_copy(update={"loss": loss})
    stale = {name for name, fault in iter_faults(trained.layout, other, ("loss",), deep=False) if fault}
    assert {"global_adapter@thinkrec", "projector@thinkrec-no-labels"} <= stale
    plain = [name for name, variant in VARIANTS.items() if not variant.rationales]
    assert not [name for name in stale if name.partition("@")[2] in plain]


def test_the_command(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(trained.layout.root, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "project" / "params.yaml").write_text(params_text(trained.params), encoding="utf-8")
    assert thinkrec_command(["experts", "--dataset", "demo", "--variant", "tallrec"]) == 0
    assert "nothing: tallrec has no experts" in capsys.readouterr().out
    assert thinkrec_command(["global", "--dataset", "demo", "--variant", "gpt"]) == 2
    shutil.rmtree(Layout("demo", variant="tallrec").global_adapter)
    assert thinkrec_command(["evaluate", "--dataset", "demo"]) == 4
    said = capsys.readouterr().err
    assert "`thinkrec global --dataset demo --variant tallrec` makes it" in said
    assert (
        thinkrec_command(["projector", "--dataset", "demo", "--variant", "thinkrec-no-both", "--dry-run"])
        == 0
    )


def test_a_damaged_part_is_not_copied(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.layout.root, tmp_path / "project")
    place = Layout("demo", tmp_path / "project", "collm")
    weights = place.of("tallrec").global_adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert ready_made(place, "global", trained.params) is None
    assert ready_made(place, "global", trained.params, code="other") is None
    with pytest.raises(ModelError, match=r"run `thinkrec global --dataset demo --variant tallrec` again"):
        check(place, SYSTEMS["tallrec"].needs, trained.params)


def test_reasons_come_from_all_that_were_trained_to_say_why(trained: Trained) -> None:
    lines = trained.layout.reasons.read_text(encoding="utf-8").splitlines()
    speaking = {name for name, variant in VARIANTS.items() if variant.rationales}
    assert {json.loads(line)["system"] for line in lines} == speaking
    assert not [
        check for check in check_files(trained.layout, trained.params, True) if check.verdict == "FAILED"
    ]


def test_the_report_tells_of_the_runs_of_its_own_variants(trained: Trained) -> None:
    stages = {record["stage"] for record in runs_of(trained.layout, ["tallrec", "collm"]).records}
    assert {"global-tallrec", "projector-collm"} <= stages and "global-thinkrec" not in stages
    curves = runs_of(trained.layout, [DEFAULT]).curves
    assert "global-thinkrec" in curves and "global-tallrec" not in curves


def test_groups_that_are_empty_are_refused(trained: Trained) -> None:
    evaluated = trained.params.evaluate.model_copy(update={"systems": ["variants"]})
    params = trained.params.model_copy(update={"variants": [], "evaluate": evaluated})
    with pytest.raises(ConfigError, match=r"^evaluate\.systems: names groups that are empty"):
        import_module(STAGES["evaluate"].module).run(trained.layout, params)


def test_a_report_that_git_kept_of_an_earlier_run_is_no_fault(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.layout.root, tmp_path / "project")
    layout = Layout("demo", tmp_path / "project")
    layout.agent_metrics.write_text("{}")
    layout.curve("agent-sft").write_text("model,step,series,value\n")
    assert not [fault for _, fault in iter_faults(layout, trained.params, (), deep=False) if fault]
    layout.agent_sft.mkdir()
    faults = dict(iter_faults(layout, trained.params, (), deep=False))
    assert "has no manifest" in faults["agent_sft"] and "has no manifest" in faults["curve:agent-sft"]


def test_what_is_trained_alike_is_not_spread_over_processes(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained.layout.root, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    params = trained.params.model_copy(update={"processes": 2})
    (tmp_path / "project" / "params.yaml").write_text(params_text(params), encoding="utf-8")
    spread: list[tuple[object, ...]] = []

    def no_launch(*arguments: object) -> None:
        spread.append(arguments)
        raise click.exceptions.Exit(0)

    monkeypatch.setattr("thinkrec_cli.stages.spread", no_launch)
    assert thinkrec_command(["projector", "--dataset", "demo", "--variant", "tallrec"]) == 0
    assert not spread
    monkeypatch.setattr("thinkrec.artifacts.shared.trained_alike", lambda layout, *rest: layout.of("tallrec"))
    assert thinkrec_command(["global", "--dataset", "demo", "--variant", "collm"]) == 0
    assert not spread
    monkeypatch.setattr("thinkrec.artifacts.shared.trained_alike", lambda *rest: None)
    thinkrec_command(["global", "--dataset", "demo", "--variant", "collm"])
    assert spread == [(2, "global", "--dataset", "demo", "--variant", "collm")]

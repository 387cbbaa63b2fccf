"""A leak in every artifact of a finished run, and an audit that names it; none where there is none."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from leaks import LEAKS
from records import write_record_of
from small_chain import LANGUAGE, Chain

from thinkrec.agent.knowledge import Knowledge
from thinkrec.audit import vectors
from thinkrec.audit.check import Check
from thinkrec.audit.coverage import COVERED, coverage_of, left_out, under
from thinkrec.audit.parts import check_all_predictions, check_figures, check_parts, parts
from thinkrec.audit.retrain import Trained, train_again
from thinkrec.audit.systems import load_systems
from thinkrec.data.tables import Interactions
from thinkrec.layout import MAKERS, Layout, path_of
from thinkrec.stages import trajectories
from thinkrec.stages.audit import _files, audit
from thinkrec.systems.project import Project

PIPELINE = Path(__file__).parents[2] / "dvc.yaml"
ELSEWHERE = {"histories", "features", "prompts", "scores"}
"""Checks of code rather than of a file: planted leaks are in their own tests."""
_TRAINED: dict[str, Trained] = {}


@pytest.fixture(autouse=True)
def trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the same encoder on the same rows once for all tests."""

    def once(data: Interactions, config: dict[str, Any], choose: Interactions) -> Trained:
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        for each in (data, choose):
            for value in (each.user_id, each.item_id, each.label, each.timestamp, each.split):
                digest.update(value.tobytes())
        key = digest.hexdigest()
        if key not in _TRAINED:
            _TRAINED[key] = train_again(data, config, choose)
        return _TRAINED[key]

    monkeypatch.setattr(vectors, "train_again", once)


def checked(layout: Layout, run: Chain, part: str) -> Sequence[Check]:
    """What one part of the audit says."""
    data, params = Interactions.load(layout.interactions), run.params
    if part == "figures":
        return check_figures(layout, params, data)
    if part == "predictions":
        project = Project(layout, params, data)
        systems = load_systems(project, ("global",))
        return [
            check
            for protocol in params.evaluate.protocols
            for check in check_all_predictions(project, systems, protocol)
        ]
    chosen = {part: parts(layout, params, data, "share")[part]}
    return list(check_parts(chosen, layout, lambda what: None))


def test_no_false_alarm(everything: Chain) -> None:
    report = audit(everything.layout, everything.params, LANGUAGE[:2])
    said = [(each["artifact"], each["claim"]) for each in report["checks"] if each["verdict"] != "passed"]
    skipped = [
        ("predictions", f"{name}: every row is what the system says ({protocol})")
        for protocol in ("frozen", "rolling")
        for name in LANGUAGE[2:]
    ]
    assert sorted(said) == sorted(skipped)
    found = {each["artifact"] for each in report["checks"]}
    assert found == {name for each in COVERED for name in each.checks} | ELSEWHERE
    assert all(each["why"] for each in report["left_out"])
    assert {each["path"] for each in report["left_out"]} >= {
        "models/demo/adapters/*/global/*",
    }


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found(everything: Chain, tmp_path: Path, name: str) -> None:
    leak, layout = LEAKS[name], everything.copy(tmp_path)
    leak.plant(layout, Interactions.load(layout.interactions), everything.params)
    failed = [check for check in checked(layout, everything, leak.part) if check.verdict == "FAILED"]
    assert leak.artifact in {check.artifact for check in failed}, name
    assert all("run `thinkrec" in check.said for check in failed), [check.said for check in failed]


def test_groups_made_of_leaking_vectors_pass_by_themselves(everything: Chain, tmp_path: Path) -> None:
    layout = everything.copy(tmp_path)
    leak = LEAKS["user vectors shifted by test's likes, groups rebuilt"]
    leak.plant(layout, Interactions.load(layout.interactions), everything.params)
    assert {check.verdict for check in checked(layout, everything, "groups")} == {"passed"}


def test_a_leak_in_each_artifact() -> None:
    assert {leak.artifact for leak in LEAKS.values()} == {
        name for each in COVERED for name in each.checks
    } - ELSEWHERE


def outputs() -> list[str]:
    """Every output of every stage in dvc.yaml, with * for the data set."""
    found = []
    for name, stage in yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"].items():
        each = stage.get("do", stage)
        if name == "demo":
            continue  # raw files, which are what is given
        for key in ("outs", "metrics", "plots"):
            for out in each.get(key, []):
                path = out if isinstance(out, str) else next(iter(out))
                found.append(re.sub(r"\$\{[^}]+\}", "*", path))
    return found


def test_every_output_of_a_stage_is_checked_or_left_out_with_a_reason() -> None:
    assert len(outputs()) > 50
    missing = [out for out in outputs() if not under(out)]
    assert not missing, f"thinkrec/audit/coverage.py says nothing of {missing}"
    assert all(each.checks or each.left_out for each in COVERED)
    places = {str(path_of(Layout("any"), name)).replace("/any/", "/*/") for name in MAKERS}
    places = {place.replace("/adapters/thinkrec/", "/adapters/*/") for place in places}
    assert not [place for place in places if not under(place)]


def test_coverage_knows_every_file_of_a_run_and_no_other(everything: Chain) -> None:
    files = list(_files(everything.layout))
    assert len(files) > 80
    assert not [path for path in files if coverage_of(path) is None]
    met = {coverage_of(path) for path in files}
    stale = [each.path for each in COVERED if each not in met]
    lacking = ["models/*/adapters/*/*/none.json"]  # of another variant: tests/systems/test_variants.py
    # Adapters of further seeds: tests/stages/test_seeds.py.
    lacking += [each.path for each in COVERED if "/adapters/" in each.path and "/seeds/" in each.path]
    assert sorted(stale) == sorted(lacking) and len(lacking) == 9, (
        "thinkrec/audit/coverage.py names files that no stage writes any more"
    )
    said = left_out(["models/d/new/x.bin"], "d")
    assert said == [
        {"path": "models/d/new/x.bin", "files": 1, "checks": [], "why": "no check knows this file"}
    ]


def test_tools_that_read_on_after_the_moment(
    everything: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leak is in the code, so that episodes come out the same again."""
    original = Knowledge.interactions_with
    monkeypatch.setattr(
        Knowledge, "interactions_with", lambda self, item, moment: original(self, item, 2 * moment)
    )
    layout, params = everything.copy(tmp_path), everything.params
    choices = params.trajectories.model_copy(update={"max_rank": 10})
    run = Chain(layout, params.model_copy(update={"trajectories": choices}), {})
    trajectories.run(layout, run.params)
    (check,) = checked(layout, run, "trajectories")
    assert check.verdict == "FAILED"
    assert " episodes change with what follows their moment, the first at " in check.said


def test_a_record_beside_its_curve(chain: Chain, everything: Chain, tmp_path: Path) -> None:
    layout = everything.copy(tmp_path)
    for stage in ("global", "experts"):
        write_record_of(layout, stage, **chain.facts[stage])
    assert {check.verdict for check in checked(layout, everything, "global")} == {"passed"}
    chain_facts = json.loads(json.dumps(chain.facts["experts"]))
    chain_facts["groups"]["1"]["valid_auc"] = 0.99
    write_record_of(layout, "experts", **chain_facts)
    failed = [check for check in checked(layout, everything, "global") if check.verdict == "FAILED"]
    assert {check.artifact for check in failed} == {"experts"}
    assert "says valid AUC 0.99 of expert 1 at step" in failed[0].said

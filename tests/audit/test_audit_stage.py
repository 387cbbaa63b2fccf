"""The whole audit: of what is there, as a report, and as a command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from small_chain import LANGUAGE, Chain, seal
from tamper import Row, change

from thinkrec.config.sources import DemoSource
from thinkrec.config.write import params_text
from thinkrec.errors import DataError, MissingInputError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.stages.audit import audit, refuse_leaks
from thinkrec_cli.main import run

PROTOCOLS = ("frozen", "rolling")


@pytest.fixture
def layout(chain: Chain, tmp_path: Path) -> Layout:
    return chain.copy(tmp_path)


def failed(report: dict[str, object]) -> list[str]:
    checks: list[dict[str, str]] = report["checks"]  # type: ignore[assignment]
    return [check["artifact"] for check in checks if check["verdict"] == "FAILED"]


def test_an_untouched_chain_passes(chain: Chain) -> None:
    told: list[str] = []
    report = audit(chain.layout, chain.params, step=told.append)
    refuse_leaks(report)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    artifacts = {check["artifact"] for check in report["checks"]}
    assert artifacts == {
        "interactions", "histories", "users", "items", "graph", "truth", "quarantine", "vectors", "groups",
        "keywords", "rationales", "baselines", "prompts", "backbone", "global", "experts", "projector",
        "features", "scores", "predictions", "metrics", "reasons", "gate",
    }  # fmt: skip
    skipped = {check["claim"] for check in report["checks"] if check["verdict"] == "not applicable"}
    assert skipped == {
        "what prep makes of the raw files",
        *(f"{name}: every row is what the system says ({each})" for name in LANGUAGE for each in PROTOCOLS),
    }  # fmt: skip
    assert report["verdicts"]["passed"] == len(report["checks"]) - 6 - 2 * len(LANGUAGE)
    encoders = {path.name for path in chain.layout.encoder("mf").parent.iterdir()}
    scored = {check["claim"] for check in report["checks"] if check["artifact"] == "scores"}
    assert scored == {f"{name}: of the past ({each})" for name in (*encoders, "gbdt") for each in PROTOCOLS}
    assert set(report["ties"]) == {"train", "valid", "test"}
    assert "training sasrec again" in told and "keywords" in told


def test_only_interactions_are_there(chain: Chain, layout: Layout) -> None:
    shutil.rmtree(layout.models)
    shutil.rmtree(layout.reports)
    no_raw = f"{layout.root / 'data/raw/demo'}, with the raw files, is not there"
    for path in (layout.items, layout.keywords, layout.rationales):
        path.unlink()
    report = audit(layout, chain.params)
    skipped = {check["artifact"]: check["said"] for check in report["checks"] if check["verdict"] != "passed"}
    assert skipped == {
        "vectors": "`thinkrec cf --dataset demo` makes them",
        "groups": f"{layout.clusters} is not there yet: `thinkrec cluster --dataset demo` makes it",
        "keywords": f"{layout.items} is not there yet: `thinkrec prep --dataset demo` makes it",
        "rationales": f"{layout.items} is not there yet: `thinkrec prep --dataset demo` makes it",
        "prompts": f"{layout.items} is not there yet: `thinkrec prep --dataset demo` makes it",
        "gate": f"{layout.gate} is not there yet: `thinkrec evaluate --dataset demo` makes it",
        "graph": f"{layout.items} is not there yet: `thinkrec prep --dataset demo` makes it",
        "backbone": f"{layout.backbone} is not there yet: `thinkrec backbone --dataset demo` makes it",
        "global": f"{layout.backbone} is not there yet: `thinkrec backbone --dataset demo` makes it",
        "projector": f"{layout.projector} is not there yet: `thinkrec projector --dataset demo` makes it",
        "baselines": f"{layout.baselines} is not there yet: `thinkrec baselines --dataset demo` makes it",
        **dict.fromkeys(("predictions", "metrics"), "`thinkrec evaluate --dataset demo` makes them"),
        **dict.fromkeys(("interactions", "users", "truth", "quarantine"), no_raw),
    }
    refuse_leaks(report)
    layout.interactions.unlink()
    with pytest.raises(MissingInputError, match="`thinkrec prep --dataset demo` makes it"):
        audit(layout, chain.params)


def test_a_random_split_has_no_frozen_histories(chain: Chain, layout: Layout) -> None:
    rng = np.random.default_rng(1)

    def shuffle(rows: list[Row]) -> None:
        for row, place in zip(rows, rng.permutation(len(rows)), strict=True):
            row["split"] = ("train", "valid", "test")[0 if place % 5 else 1 + place % 2]

    change(layout.interactions, shuffle)
    random = DemoSource(reader="demo", raw="raw", split={"rule": "random"})
    params = chain.params.model_copy(update={"datasets": {"demo": random}})
    seal(layout, params)
    words = "set `choose_by: rolling` and `evaluate.protocols: [rolling]` in params.yaml"
    refused = {check["artifact"] for check in audit(layout, params)["checks"] if words in check["said"]}
    assert refused >= {"baselines", "prompts", "scores", "predictions", "training mf again"}
    rolling = params.evaluate.model_copy(update={"protocols": ["rolling"]})
    params = params.model_copy(update={"choose_by": "rolling", "evaluate": rolling})
    seal(layout, params)
    report = audit(layout, params)
    said = {check["claim"]: check["verdict"] for check in report["checks"]}
    assert said["splits by time"] == said["train: train rows only, before the row"] == "not applicable"
    assert "sasrec: of the past (rolling)" in said and "sasrec: of the past (frozen)" not in said


def test_a_split_that_the_record_alone_calls_random(chain: Chain, layout: Layout) -> None:
    """The rule stands in prep's manifest, which is sealed; the record may be edited."""
    rng = np.random.default_rng(1)

    def shuffle(rows: list[Row]) -> None:
        for row, place in zip(rows, rng.permutation(len(rows)), strict=True):
            row["split"] = ("train", "valid", "test")[0 if place % 5 else 1 + place % 2]

    change(layout.interactions, shuffle)
    seal(layout, chain.params)
    record = read_json(layout.record("prep"))
    record["facts"]["settings"]["split"] = {"rule": "random"}
    write_json(layout.record("prep"), record)
    said = {check["claim"]: check["verdict"] for check in audit(layout, chain.params)["checks"]}
    assert said["splits by time (share)"] == "FAILED"


@pytest.mark.parametrize("text", ["x", "[]", "{}", None])
@pytest.mark.parametrize("stage", ["prep", "global", "cf"])
def test_a_damaged_record_is_told_before_anything_is_trained(
    project: Layout, capsys: pytest.CaptureFixture[str], stage: str, text: str | None
) -> None:
    project.record(stage).unlink()
    os.mkfifo(project.record(stage)) if text is None else project.record(stage).write_text(text)
    assert run(["audit", "--dataset", "demo"]) == 5
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1:] == [
        f"error: the audit of demo failed 1 check: record ({project.own(stage)}: can be read)"
    ]
    (check,) = [each for each in read_json(project.audit)["checks"] if each["verdict"] == "FAILED"]
    assert check["said"].startswith(f"{project.record(stage)} is not what `thinkrec {stage}` wrote (")
    assert check["said"].endswith(f"run `thinkrec {stage} --dataset demo` again")


def test_a_curve_is_its_stages(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    project.curve("cf").write_bytes(project.curve("cf").read_bytes() + b" ")
    assert run(["audit", "--dataset", "demo"]) == 5
    assert "failed 1 check: curve:cf (" in capsys.readouterr().err


def future_before(rows: list[Row]) -> None:
    """The last row of the first user gets a moment before all others, and stays where it is."""
    own = [row for row in rows if row["user_id"] == rows[0]["user_id"]]
    own[0]["timestamp"] = own[-1]["timestamp"] + timedelta(seconds=1)


def test_refusal_names_all_that_failed(chain: Chain, layout: Layout) -> None:
    change(layout.interactions, future_before)
    change(layout.keywords, lambda rows: rows[0]["keywords"].append("future"))
    report = audit(layout, chain.params)
    with pytest.raises(DataError) as caught:
        refuse_leaks(report)
    said = str(caught.value)
    assert said.startswith(
        f"the audit of demo failed {len(failed(report))} checks: interactions (positions are 0,"
    )
    assert {"interactions", "histories", "keywords"} <= set(failed(report))
    assert "; keywords (made of the items' own texts alone)" in said


@pytest.fixture
def project(chain: Chain, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project's root with the chain's artifacts and parameters."""
    (layout.root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    monkeypatch.chdir(layout.root)
    return Layout("demo")


def test_the_command(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--dataset", "demo"]) == 0
    out = capsys.readouterr().out
    assert "passed" in out and "FAILED" not in out and "(frozen)" in out
    assert out.endswith("audit of demo: written to reports/demo/audit.json\n")
    assert read_json(project.audit)["verdicts"].get("FAILED") is None


@pytest.mark.parametrize(
    ("path", "how", "artifact"),
    [
        ("interactions", future_before, "interactions"),
        ("rationales", lambda rows: rows[0].update(split="test"), ""),
    ],
)
def test_the_command_ends_with_an_error(
    project: Layout,
    capsys: pytest.CaptureFixture[str],
    path: str,
    how: Callable[[list[Row]], None],
    artifact: str,
) -> None:
    change(getattr(project, path), how)
    assert run(["audit", "--dataset", "demo"]) == DataError.exit_code
    captured = capsys.readouterr()
    assert "FAILED" in captured.out and "written to reports/demo/audit.json" in captured.out
    assert captured.err.splitlines()[-1].startswith("error: the audit of demo failed ")
    assert read_json(project.audit)["verdicts"]["FAILED"] >= 1


def test_a_system_that_is_none_ends_at_once(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--dataset", "demo", "--systems", "mf"]) == 3
    assert "the language model has no system 'mf'" in capsys.readouterr().err
    assert not project.audit.exists()

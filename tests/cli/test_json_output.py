"""`--json`: one document on stdout and nothing else there; errors stay errors."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_chain import Chain

from thinkrec.config.write import params_text
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES
from thinkrec_cli.commands import main
from thinkrec_cli.main import run

Said = Callable[..., Any]


@pytest.fixture(scope="module")
def project(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A copy of the chain as a project, with few systems to evaluate; all tests of the module change it."""
    layout = chain.copy(tmp_path_factory.mktemp("json"))
    evaluate = chain.params.evaluate.model_copy(update={"systems": ["mf", "gbdt"], "protocols": ["frozen"]})
    params = chain.params.model_copy(update={"evaluate": evaluate})
    (layout.root / "params.yaml").write_text(params_text(params), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(layout.root)
        yield Layout("demo")


@pytest.fixture
def said(project: Layout, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command and return its document."""

    def call(*args: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run([*args, "--dataset", "demo", "--json"]) == code
        out = capsys.readouterr().out
        return json.loads(out) if out else None

    return call


def test_stats(project: Layout, said: Said) -> None:
    found = said("stats")
    assert found == read_json(project.stats) and found["parts"]["all"]["items"] > 0


def test_evaluate_then_compare(project: Layout, said: Said) -> None:
    found = said("evaluate")
    assert {name: found[name] for name in ("stage", "dataset", "variant")} == {
        "stage": "evaluate", "dataset": "demo", "variant": None,
    }  # fmt: skip
    assert found["facts"] == read_json(Path(found["record"]))["facts"]
    assert 0 < found["facts"]["gbdt"]["frozen"]["auc"] < 1
    compared = said("compare", "mf", "gbdt")
    assert compared == read_json(project.comparison("mf", "gbdt", "frozen"))
    assert compared["slices"]["test"]["auc"]["a"] == pytest.approx(found["facts"]["mf"]["frozen"]["auc"], 0.2)


def test_a_stage_of_variants_names_its_variant(chain: Chain, project: Layout, said: Said) -> None:
    found = said("experts", "--variant", "tallrec")  # which has none, so that nothing trains
    assert (found["stage"], found["variant"]) == ("experts", "tallrec")
    assert found["record"] == "reports/demo/run/experts-tallrec.json"


def test_a_dry_run(project: Layout, said: Said) -> None:
    found = said("global", "--dry-run")
    assert found["stage"] == "global" and found["parts"][0]["name"] == "global: training"
    assert found["parts"][0]["seconds"] > 0
    assert said("experts", "--dry-run", "--variant", "tallrec") is None


def test_audit_that_fails_prints_its_report_and_fails(
    project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = project.users.read_bytes()
    project.users.write_bytes(whole + b" ")
    assert run(["audit", "--dataset", "demo", "--json"]) == 5
    project.users.write_bytes(whole)
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found == read_json(project.audit) and found["verdicts"]["FAILED"] == 1
    assert captured.err.splitlines()[-1].startswith("error: the audit of demo failed 1 check: users (")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["stats", "--dataset", "nix"], 3),
        (["compare", "mf", "nix", "--dataset", "demo"], 3),
        (["compare", "--published", "--dataset", "demo"], 3),
        (["compare", "mf", "--dataset", "demo"], 2),
        (["audit", "--dataset", "nix"], 3),
        (["evaluate", "--dataset", "nix"], 3),
    ],
)
def test_an_error_leaves_stdout_empty(
    project: Layout, capsys: pytest.CaptureFixture[str], args: list[str], code: int
) -> None:
    assert run([*args, "--json"]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.splitlines()[-1].lower().startswith("error: ")


def test_every_stage_has_it() -> None:
    for name in STAGES:
        command = main.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None and "--json" in {opt for each in command.params for opt in each.opts}

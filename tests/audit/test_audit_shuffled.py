"""The shuffled control in the audit: a check per system and protocol, a table, and what evaluate stored."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small_chain import Chain

from thinkrec.audit.check import Check
from thinkrec.audit.reports import check_reports
from thinkrec.audit.shuffled import check_control, check_stored, controls, stored_controls
from thinkrec.audit.systems import load_systems
from thinkrec.audit.table import tables
from thinkrec.config.write import params_text
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN
from thinkrec.reports.kinds import SHUFFLED
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.control import Control
from thinkrec.systems.project import Project
from thinkrec_cli.main import run


class Leaky:
    """Scores by the label before the row, whatever the protocol."""

    history_length = None

    def score(self, candidates: Candidates) -> np.ndarray:
        return candidates.data.label[candidates.rows - 1].astype(np.float32)


@pytest.fixture(scope="module")
def measured(chain: Chain) -> tuple[list[Check], list[dict[str, Any]]]:
    project = Project(chain.layout, chain.params)
    systems = {**load_systems(project, ["global"]), "leaky": Leaky()}
    return controls(project, systems, 4, lambda what: None)  # type: ignore[arg-type]


def verdicts(checks: list[Check], protocol: str) -> dict[str, str]:
    return {c.claim.partition(":")[0]: c.verdict for c in checks if c.claim.endswith(f"({protocol})")}


def test_frozen_scores_read_no_label_of_test(measured: tuple[list[Check], list[dict[str, Any]]]) -> None:
    found = verdicts(measured[0], "frozen")
    assert found.pop("leaky") == "FAILED"
    assert {*FLOORS, MINUS_RUNNING_MEAN, "mf", "sasrec", "gsasrec_labels", "gbdt", "global"} <= set(found)
    assert set(found.values()) == {"passed"}
    rows = {row["system"]: row for row in measured[1] if row["protocol"] == "frozen"}
    assert all(row["moved"] == 0 for name, row in rows.items() if name != "leaky")
    said = next(c.said for c in measured[0] if c.claim.startswith("leaky") and c.verdict == "FAILED")
    assert said.startswith(f"{rows['leaky']['moved']:,} of {rows['leaky']['rows']:,} scores change when the")


def test_rolling_never_fails_and_tells_what_it_is_worth(
    measured: tuple[list[Check], list[dict[str, Any]]],
) -> None:
    assert set(verdicts(measured[0], "rolling").values()) == {"passed"}
    rows = {row["system"]: row for row in measured[1] if row["protocol"] == "rolling"}
    assert rows[MINUS_RUNNING_MEAN]["uauc_low"] > 0.55 and rows[MINUS_RUNNING_MEAN]["draws"] == 4
    assert rows["random"]["uauc"] == 0.5 and rows["random"]["moved"] is None


def test_the_table_has_a_line_for_each(measured: tuple[list[Check], list[dict[str, Any]]]) -> None:
    report = {"dataset": "d", "checks": [], "left_out": [], "ties": {}, "shuffled": measured[1]}
    out = StringIO()
    Console(file=out, width=120).print(list(tables(report))[-1])
    lines = [line.split("│") for line in out.getvalue().splitlines()]
    shown = [[cell.strip() for cell in line[1:4]] for line in lines if len(line) > 3]
    want = [[row["system"], row["protocol"], f"{row['uauc']:.3f}"] for row in measured[1]]
    assert shown == want


def test_half_outside_the_wide_interval_fails() -> None:
    """Equal scores alone do not pass: something else would be wrong with the measuring."""
    rng = np.random.default_rng(0)
    high = Control(0.6 + 0.1 * rng.random(50), 4, 300, 0, 1)
    check = check_control("x", "frozen", high)
    assert check.verdict == "FAILED" and ".5 lies outside the 99.9 % interval" in check.said
    assert check_control("x", "rolling", high).verdict == "passed"
    # A 95 % interval that misses .5 is no fault: one of twenty does.
    near = Control(0.5 + 0.2 * (rng.permutation(np.linspace(-1, 1, 400)) + 0.07), 4, 300, 0, 1)
    assert near.interval is not None and near.interval[0] > 0.5
    assert check_control("x", "frozen", near).verdict == "passed"


def test_few_or_no_users_of_both_classes() -> None:
    few = check_control("x", "frozen", Control(np.array([1.0, 1.0]), 4, 9, 0, 1))
    assert few.verdict == "passed" and few.said.endswith("with fewer than 10 users of both classes")
    assert check_control("x", "frozen", Control(np.empty(0), 4, 9, 0, 1)).verdict == "not applicable"


def test_evaluate_stores_the_control_of_what_costs_little(chain: Chain) -> None:
    metrics = read_json(chain.layout.metrics)
    cheap = {"mf", "lightgcn", "sasrec", "gsasrec_labels", "gbdt", *FLOORS}
    stored = stored_controls(chain.layout)
    assert set(stored["frozen"]) == cheap and set(stored["rolling"]) == {*cheap, MINUS_RUNNING_MEAN}
    assert set(stored["frozen"]["mf"]) == {"draws", "uauc", "uauc_low", "uauc_high"}
    assert metrics["rolling"][MINUS_RUNNING_MEAN][SHUFFLED]["uauc_low"] > 0.55
    assert metrics["frozen"]["user_mean"][SHUFFLED]["uauc"] == 0.5


def test_stored_controls_are_measured_again(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    project = Project(layout, chain.params)
    systems = load_systems(project, ())
    assert check_stored(project, systems).verdict == "passed"
    assert {c.verdict for c in check_reports(layout, project.data, chain.params)} == {"passed"}
    metrics = read_json(layout.metrics)
    metrics["frozen"]["gbdt"][SHUFFLED]["uauc"] += 0.01
    del metrics["rolling"]["mf"][SHUFFLED]
    write_json(layout.metrics, metrics)
    check = check_stored(project, systems)
    assert check.verdict == "FAILED"
    assert check.said == (
        "metrics.json disagrees about frozen.gbdt.uauc, rolling.mf; run `thinkrec evaluate` again"
    )
    del systems["gbdt"]
    assert check_stored(project, systems).said.startswith("metrics.json disagrees about rolling.mf;")
    layout.metrics.unlink()
    assert stored_controls(layout) == {}


def test_the_command(
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    layout = chain.copy(tmp_path)
    (layout.root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    monkeypatch.chdir(layout.root)
    assert run(["audit", "--dataset", "demo", "--shuffled", "--draws", "2"]) == 0
    captured = capsys.readouterr()
    assert "labels of test permuted within users" in captured.out and "minus_running_mean" in captured.out
    assert "auditing shuffled labels of gbdt" in caplog.messages
    report = read_json(Layout("demo").audit)
    rows = report["shuffled"]
    assert {row["protocol"] for row in rows} == set(chain.params.evaluate.protocols)
    assert {row["draws"] for row in rows} == {2}
    users = Interactions.load(Layout("demo").interactions)
    assert all(row["rows"] == len(users.rows("test")) for row in rows)
    judged = [check for check in report["checks"] if check["artifact"] == "shuffled"]
    assert len(judged) == len(rows) and {check["verdict"] for check in judged} == {"passed"}


def test_no_draws_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--dataset", "demo", "--shuffled", "--draws", "0"]) == 2
    assert "0 is not in the range x>=1" in capsys.readouterr().err

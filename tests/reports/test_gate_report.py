"""What evaluate says of the gate: gate.csv, gate.json, and their check by the audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_chain import Chain

from thinkrec.audit.groups import check_gate
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json, write_json
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.reports.figures import gate_figure
from thinkrec.reports.gate import WAYS, fused, sampled, write_gate
from thinkrec.reports.grids import gate_grid
from thinkrec.reports.plots import read_rows
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project


def test_the_default_variant_is_measured_else_the_first_that_fuses() -> None:
    assert fused(["mf", "global", "thinkrec-no-keywords", "thinkrec-no-projector", "thinkrec"]) == "thinkrec"
    assert fused(["tallrec", "thinkrec-no-keywords"]) == "thinkrec-no-keywords"
    assert fused(["mf", "global", "thinkrec-no-experts"]) is None


@pytest.mark.parametrize("most", [1, 40, 10**6])
def test_whole_users_are_sampled(chain: Chain, most: int) -> None:
    data = Interactions.load(chain.layout.interactions)
    valid, rows = data.rows("valid"), sampled(data, most, 7)
    np.testing.assert_array_equal(rows, valid[np.isin(data.user_id[valid], data.user_id[rows])])
    users = len(np.unique(data.user_id[rows]))
    assert users == 1 if most == 1 else len(rows) <= most and users > 1
    assert (len(rows) == len(valid)) == (most == 10**6)


def test_evaluate_says_what_fusion_gains(chain: Chain) -> None:
    layout, params = chain.layout, chain.params
    project = Project(layout, params)
    data, said = project.data, read_json(layout.gate)
    assert said["system"] == "thinkrec" and said["protocol"] == params.evaluate.headline
    assert sum(said["decisions"].values()) == len(np.unique(data.user_id[data.rows("valid")]))
    rows = sampled(data, params.training.valid_rows, params.seed)
    assert (said["rows"], said["users"]) == (len(rows), len(np.unique(data.user_id[rows])))
    assert set(said["effect"]) == set(WAYS) and set(said["differences"]) == {*WAYS} - {"averaged"}
    assert chain.facts["evaluate"]["gate_seconds"].keys() == set(WAYS)
    # `gate` is the system itself.
    score = project.system("thinkrec").score(Candidates.of_rows(data, rows, params.evaluate.headline))
    own = ranking_metrics(data.user_id[rows], data.label[rows], score).values
    for metric in ("auc", "uauc"):
        assert said["effect"]["gate"][metric] == pytest.approx(own[metric], abs=2e-3)  # ties by rounding
        for way, differences in said["differences"].items():
            found = said["effect"][way][metric] - said["effect"]["averaged"][metric]
            assert differences[metric]["difference"] == pytest.approx(found, abs=1e-7)
    assert any(
        each["auc"]["low"] < each["auc"]["high"] for each in said["differences"].values()
    )  # experts change scores


def test_without_a_fused_system_there_is_a_header_only(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    assert write_gate(Project(layout, chain.params), ["mf", "global"], 7) == {}
    assert layout.plot("gate").read_text() == "parameter,value,kind,share\n"
    assert read_json(layout.gate) == {}
    data = Interactions.load(layout.interactions)
    assert check_gate(layout, data, chain.params).verdict == "not applicable"


def test_the_audit_makes_curve_and_counts_again(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    data, plot = Interactions.load(layout.interactions), layout.plot("gate")
    assert check_gate(layout, data, chain.params).verdict == "passed"
    whole, said = plot.read_text(), read_json(layout.gate)
    plot.write_text(whole.replace("averaged,0.0\n", "averaged,0.5\n", 1))
    assert plot.read_text() != whole
    assert "gate.csv has another curve" in check_gate(layout, data, chain.params).said
    plot.write_text(whole)
    said["decisions"]["mixed"] += 1
    write_json(layout.gate, said)
    assert "gate.json counts other decisions" in check_gate(layout, data, chain.params).said


def test_the_page_shows_curve_and_effect(chain: Chain) -> None:
    said, rows = read_json(chain.layout.gate), read_rows(chain.layout.plot("gate"))
    assert gate_figure([], {}) is None
    figure = gate_figure(rows, said["configured"])
    assert figure is not None
    for title in ("temperature", "concentrated", "averaged", "mixed"):
        assert f"{title}</text>" in figure
    header, table = gate_grid(said)
    assert header[1:3] == ["auc", "uauc"] and [row[0].partition(":")[0] for row in table] == list(WAYS)
    averaged = next(row for row in table if row[0].startswith("averaged"))
    assert averaged[3:] == ["-", "-"]
    assert averaged[1].startswith(f"{said['effect']['averaged']['auc']:.4f} [")
    assert gate_grid({})[1] == []
    page = chain.layout.page.read_text(encoding="utf-8")
    assert f"What fusion costs or gains: {said['system']} on {said['rows']} valid rows" in page
    options = chain.params.gate
    top = options.concentrated[0] + options.concentrated[1] / 2
    assert said["configured"] == {
        "temperature": options.temperature, "concentrated": pytest.approx(top), "averaged": options.averaged,
    }  # fmt: skip

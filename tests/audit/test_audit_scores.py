"""Scores of the past, and what rolling and frozen histories change."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_chain import Chain
from tamper import Row, change

from thinkrec.audit import trees
from thinkrec.audit.scores import Scorer, check_scores, compare_modes
from thinkrec.audit.systems import load_systems
from thinkrec.audit.systems import scorer as function_of
from thinkrec.audit.table import tables
from thinkrec.audit.trees import check_features
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.layout import Layout
from thinkrec.metrics.ranking import auc
from thinkrec.protocols import Protocol
from thinkrec.systems.project import Project


def loaded(
    layout: Layout, chain: Chain, table: Interactions, named: tuple[str, ...] = ()
) -> dict[str, Scorer]:
    found = load_systems(Project(layout, chain.params, table), named)
    return {name: function_of(system) for name, system in found.items()}


@pytest.mark.parametrize("name", ["mf", "lightgcn", "sasrec"])
def test_predictions_of_the_stage_pass(chain: Chain, table: Interactions, name: str) -> None:
    scorer = loaded(chain.layout, chain, table)[name]
    check = check_scores(chain.layout, table, name, scorer, "rolling", 7)
    assert check.verdict == "passed"
    users = len(np.unique(table.user_id[table.rows("test")]))
    assert check.figures == {"rows": (users + 1) // 2}


def test_predictions_that_know_their_labels(chain: Chain, layout: Layout, table: Interactions) -> None:
    def tell(rows: list[Row]) -> None:
        for row in rows:
            row["score"] += 0.01 * row["label"]

    change(layout.prediction("sasrec"), tell)
    scorer = loaded(layout, chain, table)["sasrec"]
    check = check_scores(layout, table, "sasrec", scorer, "rolling", 7)
    assert check.verdict == "FAILED"
    assert "scores are not those that their rows' past gives, the first at user" in check.said
    assert check.said.endswith("run `thinkrec evaluate` again")


@pytest.mark.parametrize("leak", ["label", "later item", "another user"])
def test_a_scorer_that_looks_ahead(chain: Chain, layout: Layout, table: Interactions, leak: str) -> None:
    """What is on disk was made by the very same leaky scorer."""

    def ahead(data: Interactions, rows: np.ndarray, protocol: Protocol) -> np.ndarray:
        if leak == "label":
            return data.label[rows].astype(np.float32)
        if leak == "later item":
            return data.item_id[np.minimum(rows + 1, len(data) - 1)].astype(np.float32)
        return np.full(len(rows), data.label[data.split == 2].mean(), dtype=np.float32)

    def write(rows: list[Row]) -> None:
        found = ahead(table, np.flatnonzero(table.split > 0), "rolling")
        place = {
            (int(table.user_id[row]), int(table.position[row])): float(score)
            for row, score in zip(np.flatnonzero(table.split > 0), found, strict=True)
        }
        for row in rows:
            row["score"] = place[row["user_id"], row["position"]]

    change(layout.prediction("mf"), write)
    assert check_scores(layout, table, "mf", ahead, "rolling", 7).verdict == "FAILED"


def test_missing_predictions(chain: Chain, layout: Layout, table: Interactions) -> None:
    scorer = loaded(layout, chain, table)["mf"]
    change(layout.prediction("mf"), lambda rows: rows.clear())
    assert check_scores(layout, table, "mf", scorer, "rolling", 7).verdict == "FAILED"
    layout.prediction("mf").unlink()
    check = check_scores(layout, table, "mf", scorer, "rolling", 7)
    assert check.verdict == "not applicable"
    assert check.said == (
        f"{layout.prediction('mf')} is not there yet: `thinkrec evaluate --dataset demo` makes it"
    )


def test_modes_that_differ(table: Interactions) -> None:
    """Rolling scores are the labels, frozen ones their opposite."""

    def scorer(data: Interactions, rows: np.ndarray, protocol: Protocol) -> np.ndarray:
        return data.label[rows] * (1.0 if protocol == "rolling" else -1.0)

    found = compare_modes(table, scorer, 20, 7)
    assert found["rolling"]["auc"] == 1 and found["frozen"]["auc"] == 0
    assert found["difference"]["auc"] == {"difference": 1.0, "low": 1.0, "high": 1.0}
    assert found["rows_changed"] == int(table.label[table.rows("test")].sum()) < found["rows"]


def test_a_system_without_history_changes_nothing(chain: Chain, table: Interactions) -> None:
    found = compare_modes(table, loaded(chain.layout, chain, table)["mf"], 5, 7)
    assert found["rows_changed"] == 0 and found["rolling"] == found["frozen"]


def test_sasrec_in_both_modes(chain: Chain, table: Interactions) -> None:
    scorer = loaded(chain.layout, chain, table)["sasrec"]
    found = compare_modes(table, scorer, 20, 7)
    rows = table.rows("test")
    for protocol in ("rolling", "frozen"):
        want = auc(table.label[rows], scorer(table, rows, protocol))
        assert found[protocol]["auc"] == pytest.approx(want, abs=1e-8)
    assert found["rows_changed"] > 0
    lead = found["difference"]["auc"]
    assert lead["difference"] == pytest.approx(found["rolling"]["auc"] - found["frozen"]["auc"], abs=1e-7)
    assert lead["low"] <= lead["high"]


@pytest.mark.slow
def test_a_system_of_the_language_model(chain: Chain, layout: Layout, table: Interactions) -> None:
    scorer = loaded(layout, chain, table, ("global",))["global"]
    assert check_scores(layout, table, "global", scorer, "rolling", 7).verdict == "passed"
    assert check_scores(layout, table, "global", scorer, "frozen", 7).verdict == "FAILED"


def test_systems_that_are_none_or_not_there(
    chain: Chain, layout: Layout, table: Interactions, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(layout, chain, table, ("thinkreck",))
    assert str(caught.value).startswith(
        "--systems: the language model has no system 'thinkreck'; there are backbone, global, "
        "thinkrec-no-projector, thinkrec, "
    )
    layout.projector.rename(tmp_path / "away")
    with pytest.raises(MissingInputError, match="`thinkrec projector --dataset demo` makes it"):
        loaded(layout, chain, table, ("thinkrec",))


def test_tables_of_a_report_without_frozen_histories() -> None:
    report = {
        "dataset": "d",
        "checks": [],
        "left_out": [],
        "ties": {},
        "history": {},
        "no_history": "no frozen",
    }
    last = list(tables(report))[-1]
    assert str(last) == "rolling and frozen can't be compared: no frozen"


def test_features_that_look_ahead(table: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_features(table, "rolling", 7).verdict == "passed"

    def ahead(data: Interactions, rows: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, list[str]]:
        counts = np.bincount(data.item_id, minlength=200)
        return np.stack([rows.astype(float), counts[data.item_id[rows]]], axis=1), ["place", "item_rows"]

    monkeypatch.setattr(trees, "features", ahead)
    check = check_features(table, "rolling", 7)
    assert check.verdict == "FAILED"
    assert check.said == "1 features change with later rows, the first at item_rows"


def test_gbdt_against_scores_of_another_system(chain: Chain, layout: Layout, table: Interactions) -> None:
    shutil.copy(layout.prediction("mf"), layout.prediction("gbdt"))
    scorer = loaded(layout, chain, table)["gbdt"]
    found = scorer(table, np.arange(len(table)), "rolling")
    place = dict(zip(zip(table.user_id.tolist(), table.position.tolist(), strict=True), found, strict=True))

    def write(rows: list[Row]) -> None:
        for row in rows:
            row["score"] = float(place[row["user_id"], row["position"]])

    change(layout.prediction("gbdt"), write)
    assert check_scores(layout, table, "gbdt", scorer, "rolling", 7).verdict == "passed"
    assert check_scores(layout, table, "gbdt", scorer, "frozen", 7).verdict == "FAILED"

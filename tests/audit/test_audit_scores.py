"""Scores of the past, under each protocol."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_chain import Chain
from tamper import Row, change

from thinkrec.audit import trees
from thinkrec.audit.scores import Scorer, check_predictions, check_scores
from thinkrec.audit.systems import load_systems
from thinkrec.audit.systems import scorer as function_of
from thinkrec.audit.trees import check_features
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol
from thinkrec.systems.project import Project


def loaded(
    layout: Layout, chain: Chain, table: Interactions, named: tuple[str, ...] = ()
) -> dict[str, Scorer]:
    found = load_systems(Project(layout, chain.params, table), named)
    return {name: function_of(system) for name, system in found.items()}


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
@pytest.mark.parametrize("name", ["mf", "lightgcn", "sasrec", "gbdt"])
def test_predictions_of_the_stage_pass(
    chain: Chain, table: Interactions, name: str, protocol: Protocol
) -> None:
    scorer = loaded(chain.layout, chain, table)[name]
    check = check_scores(chain.layout, table, name, scorer, protocol, 7)
    assert check.verdict == "passed" and check.claim == f"{name}: of the past ({protocol})"
    users = len(np.unique(table.user_id[table.rows("test")]))
    assert check.figures == {"rows": (users + 1) // 2}


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_predictions_that_know_their_labels(
    chain: Chain, layout: Layout, table: Interactions, protocol: Protocol
) -> None:
    def tell(rows: list[Row]) -> None:
        for row in rows:
            row["score"] += 0.01 * row["label"]

    change(layout.prediction(protocol, "sasrec"), tell)
    scorer = loaded(layout, chain, table)["sasrec"]
    check = check_scores(layout, table, "sasrec", scorer, protocol, 7)
    assert check.verdict == "FAILED"
    assert "scores are not those that their rows' past gives, the first at user" in check.said
    assert check.said.endswith("run `thinkrec evaluate` again")


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
@pytest.mark.parametrize("leak", ["label", "later item", "another user"])
def test_a_scorer_that_looks_ahead(
    chain: Chain, layout: Layout, table: Interactions, leak: str, protocol: Protocol
) -> None:
    """What is on disk was made by the very same leaky scorer."""

    def ahead(data: Interactions, rows: np.ndarray, protocol: Protocol) -> np.ndarray:
        if leak == "label":
            return data.label[rows].astype(np.float32)
        if leak == "later item":
            return data.item_id[np.minimum(rows + 1, len(data) - 1)].astype(np.float32)
        return np.full(len(rows), data.label[data.split == 2].mean(), dtype=np.float32)

    def write(rows: list[Row]) -> None:
        found = ahead(table, np.flatnonzero(table.split > 0), protocol)
        place = {
            (int(table.user_id[row]), int(table.position[row])): float(score)
            for row, score in zip(np.flatnonzero(table.split > 0), found, strict=True)
        }
        for row in rows:
            row["score"] = place[row["user_id"], row["position"]]

    change(layout.prediction(protocol, "mf"), write)
    assert check_scores(layout, table, "mf", ahead, protocol, 7).verdict == "FAILED"


def test_missing_predictions(chain: Chain, layout: Layout, table: Interactions) -> None:
    scorer = loaded(layout, chain, table)["mf"]
    change(layout.prediction("rolling", "mf"), lambda rows: rows.clear())
    assert check_scores(layout, table, "mf", scorer, "rolling", 7).verdict == "FAILED"
    assert check_scores(layout, table, "mf", scorer, "frozen", 7).verdict == "passed"
    path = layout.prediction("rolling", "mf")
    path.unlink()
    check = check_scores(layout, table, "mf", scorer, "rolling", 7)
    assert check.verdict == "not applicable"
    assert check.said == f"{path} is not there yet: `thinkrec evaluate --dataset demo` makes it"


def swap(layout: Layout, name: str) -> None:
    """A system's predictions under frozen and rolling histories change places."""
    one, other = (layout.prediction(protocol, name) for protocol in ("frozen", "rolling"))
    frozen, rolling = one.read_bytes(), other.read_bytes()
    one.write_bytes(rolling)
    other.write_bytes(frozen)


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_predictions_of_another_protocol(
    chain: Chain, layout: Layout, table: Interactions, protocol: Protocol
) -> None:
    """Of systems that read histories they are other scores; of mf, which reads none, the same."""
    found = loaded(layout, chain, table)
    scored = np.flatnonzero(table.split > 0)
    for name, verdict in {"sasrec": "FAILED", "gbdt": "FAILED", "mf": "passed"}.items():
        swap(layout, name)
        assert check_scores(layout, table, name, found[name], protocol, 7).verdict == verdict
        every = check_predictions(layout, table, name, protocol, found[name](table, scored, protocol))
        assert every.verdict == verdict
        assert every.claim == f"{name}: every row is what the system says ({protocol})"


@pytest.mark.slow
def test_a_system_of_the_language_model(chain: Chain, layout: Layout, table: Interactions) -> None:
    scorer = loaded(layout, chain, table, ("global",))["global"]
    for protocol in ("frozen", "rolling"):
        assert check_scores(layout, table, "global", scorer, protocol, 7).verdict == "passed"
    swap(layout, "global")
    for protocol in ("frozen", "rolling"):
        assert check_scores(layout, table, "global", scorer, protocol, 7).verdict == "FAILED"


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


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_features_that_look_ahead(
    table: Interactions, monkeypatch: pytest.MonkeyPatch, protocol: Protocol
) -> None:
    assert check_features(table, protocol, 7).verdict == "passed"

    def ahead(data: Interactions, rows: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, list[str]]:
        counts = np.bincount(data.item_id, minlength=200)
        return np.stack([rows.astype(float), counts[data.item_id[rows]]], axis=1), ["place", "item_rows"]

    monkeypatch.setattr(trees, "features", ahead)
    check = check_features(table, protocol, 7)
    assert check.verdict == "FAILED" and check.claim == f"gbdt: of the past ({protocol})"
    assert check.said == "1 features change with later rows, the first at item_rows"


def test_gbdt_against_scores_of_another_system(chain: Chain, layout: Layout, table: Interactions) -> None:
    path = layout.prediction("rolling", "gbdt")
    shutil.copy(layout.prediction("rolling", "mf"), path)
    scorer = loaded(layout, chain, table)["gbdt"]
    assert check_scores(layout, table, "gbdt", scorer, "rolling", 7).verdict == "FAILED"
    found = scorer(table, np.arange(len(table)), "rolling")
    place = dict(zip(zip(table.user_id.tolist(), table.position.tolist(), strict=True), found, strict=True))

    def write(rows: list[Row]) -> None:
        for row in rows:
            row["score"] = float(place[row["user_id"], row["position"]])

    change(path, write)
    assert check_scores(layout, table, "gbdt", scorer, "rolling", 7).verdict == "passed"
    shutil.copy(path, layout.prediction("frozen", "gbdt"))
    assert check_scores(layout, table, "gbdt", scorer, "frozen", 7).verdict == "FAILED"

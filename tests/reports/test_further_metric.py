"""A fifth ranking metric is one entry of METRICS: measured, stored, shown and compared like the others."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from scoring import measured_again
from tables import write_interactions

from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.layout import Layout
from thinkrec.metrics.ranking import METRICS, Metric, range_sum, ranking_metrics
from thinkrec.reports.comparison import compare_systems, tables
from thinkrec.reports.grids import slice_grid
from thinkrec.reports.page import write_page
from thinkrec.reports.results import Results, Scored, Scores, write_results
from thinkrec.reports.tables import format_table

NAME = "precision"


def precision(runs, rows, positives, k):  # type: ignore[no-untyped-def]
    """Share of likes among a user's first two rows; where scores are tied, what is expected."""
    gained = range_sum(np.ones(2), runs.rows_before, runs.rows)
    hits = runs.sum_by_user(runs.positives / runs.rows * gained, len(rows))
    return np.where(rows > 1, hits / 2, np.nan)


@pytest.fixture(params=["users_ranked", "users_uauc", "users"])
def results(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, layout: Layout,
    interactions: Interactions, system_scores: dict[str, Scored],
) -> Results:  # fmt: skip
    """The measured data set, by five metrics."""
    monkeypatch.setitem(METRICS, NAME, Metric(request.param, precision))
    layout.data.mkdir(parents=True)
    names = ("user_id", "item_id", "label", "timestamp", "position", "not_cold")
    columns = {name: getattr(interactions, name) for name in names}
    split = np.array(SPLITS)[interactions.split]
    write_interactions(layout.interactions, pa.table(columns | {"split": split}))
    seeds = {"strong": {8: system_scores["strong"]}}
    scores = {"frozen": Scores(system_scores, seeds), "rolling": Scores(system_scores)}
    return write_results(layout, interactions, scores, 60, 7, "strong")  # type: ignore[arg-type]


def by_hand(data: Interactions, rows: np.ndarray, score: np.ndarray) -> float:
    test = np.isin(rows, data.rows("test"))
    rows, score, found = rows[test], score[test].astype(np.float32), []
    for user in np.unique(data.user_id[rows]):
        own = data.user_id[rows] == user
        if own.sum() > 1:
            found.append(data.label[rows[own]][np.argsort(-score[own])[:2]].mean())
    return float(np.mean(found))


def test_it_is_in_metrics_json_and_the_other_files(
    layout: Layout, results: Results, interactions: Interactions, system_scores: dict[str, Scored]
) -> None:
    written = json.loads(layout.metrics.read_text())["frozen"]
    entry = written["strong"]["test"]
    assert entry[NAME] == pytest.approx(by_hand(interactions, *system_scores["strong"]), abs=1e-7)
    assert entry[f"{NAME}_low"] < entry[NAME] < entry[f"{NAME}_high"]
    assert written["weak"]["valid"][f"{NAME}_reason"] == "the split was not scored"
    assert written["strong"]["test/seeds"][f"{NAME}_mean"] == entry[NAME]
    assert NAME in json.loads(layout.slices.read_text())["frozen"]["strong"]["test/tail"]
    apart = json.loads(layout.differences.read_text())["frozen"]
    assert apart["slices"]["test"]["weak"][NAME]["low"] > 0
    assert apart["best"]["test"][NAME] == "strong"
    assert NAME in pq.read_table(layout.user_results("frozen", "strong")).column_names
    assert measured_again(layout, "frozen", 60, 7) == written


def test_it_is_in_the_tables_of_the_report(layout: Layout, results: Results) -> None:
    write_page(layout, results, {})
    found = results.by_protocol["frozen"]
    shown = f"{found.metrics['strong']['test'][NAME]:.4f}"
    for text in (layout.page.read_text(encoding="utf-8"), layout.page_text.read_text(encoding="utf-8")):
        assert NAME in text and shown in text and "PRECISION" in text
    assert NAME in format_table(found.metrics, found.best)
    assert slice_grid(found.metrics, found.slices, found.best, NAME)[0][0] == NAME


def test_it_is_compared(layout: Layout, results: Results) -> None:
    found = compare_systems(layout, "strong", "weak", "frozen", "test", 100, 7)
    assert found["slices"]["test"][NAME]["ahead"] == "a"
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        for table in tables(found):
            console.print(table)
    assert capture.get().count(NAME) == len(found["slices"]) + 1  # and its two variances


@pytest.mark.parametrize(
    ("label", "why"), [([1, 1], None), ([1], "no user has two rows or more"), ([], "no rows")]
)
def test_why_it_is_missing(monkeypatch: pytest.MonkeyPatch, label: list[int], why: str | None) -> None:
    monkeypatch.setitem(METRICS, NAME, Metric("users_ranked", precision))
    found = ranking_metrics(np.ones(len(label), np.int64), np.array(label, np.int64), np.zeros(len(label)))
    assert found.reasons.get(NAME) == why

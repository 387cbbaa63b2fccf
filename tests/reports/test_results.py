"""Everything that is written can be computed again from the predictions."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thinkrec.errors import DataError
from thinkrec.metrics.ranking import METRICS
from thinkrec.reports.predictions import load_all, load_predictions, recompute
from thinkrec.reports.results import write_results


def test_every_number_can_be_recomputed(layout, results):
    written = json.loads(layout.metrics.read_text())
    assert set(written.pop("reasons")) == {"strong"}
    assert set(written) == {
        "strong", "weak", "random", "popularity", "item_mean", "user_item_mean", "labels",
    }  # fmt: skip
    assert recompute(layout, results.draws, results.seed) == written


def test_a_changed_score_changes_the_numbers(layout, results):
    path = layout.prediction("weak")
    table = pq.read_table(path)
    score = np.sort(table["score"].to_numpy())
    pq.write_table(table.set_column(table.column_names.index("score"), "score", pa.array(score)), path)
    assert recompute(layout, 60, 7)["weak"]["test"] != results.metrics["weak"]["test"]


def test_prediction_files_hold_the_scores(layout, results, interactions, system_scores):
    table = pq.read_table(layout.prediction("strong"))
    assert table.column_names == ["user_id", "item_id", "position", "split", "label", "score", "not_cold"]
    assert table["score"].type == pa.float32()
    rows, score = system_scores["strong"]
    order = np.argsort(rows)
    assert np.array_equal(table["score"].to_numpy(), score[order].astype(np.float32))
    assert np.array_equal(table["position"].to_numpy(), interactions.position[rows[order]])
    assert set(table["split"].to_pylist()) == {"valid", "test"}
    assert set(load_all(layout)) == set(results.metrics) - {"reasons"}


def test_means_follow_from_results_per_user(layout, results):
    table = pq.read_table(layout.user_results("strong")).to_pandas()
    for part, entry in results.metrics["strong"].items():
        own = table[table["slice"] == part]
        assert own["rows"].sum() == entry["rows"] and len(own) == entry["users"]
        for name in METRICS[1:]:
            mean = None if own[name].isna().all() else own[name].mean()
            assert mean == pytest.approx(entry[name], abs=1e-8)
    assert set(pq.read_table(layout.user_results("weak"))["slice"].to_pylist()) == {
        "test", "test/warm", "test/cold",
    }  # fmt: skip


def test_differences_are_of_the_reference(layout, results):
    written = json.loads(layout.differences.read_text())
    assert (written["reference"], written["draws"], written["seed"]) == ("strong", 60, 7)
    auc = written["slices"]["test"]["item_mean"]["auc"]
    a, b = (results.metrics[name]["test"]["auc"] for name in ("strong", "item_mean"))
    assert auc["difference"] == pytest.approx(a - b, abs=2e-8)
    assert 0 < auc["low"] < auc["high"]
    assert "weak" not in written["slices"]["valid"]


def test_plot_files(layout, results):
    roc = list(csv.DictReader(layout.plot("roc").open()))
    assert {row["system"] for row in roc} == {
        "strong", "weak", "random", "popularity", "item_mean", "user_item_mean",
    }  # fmt: skip
    own = [(float(row["fpr"]), float(row["tpr"])) for row in roc if row["system"] == "strong"]
    assert own[0] == (0, 0) and own[-1] == (1, 1) and own == sorted(own) and len(own) <= 200
    area = np.trapezoid([y for _, y in own], [x for x, _ in own])
    assert area == pytest.approx(results.metrics["strong"]["test"]["auc"], abs=0.01)
    bins = list(csv.DictReader(layout.plot("calibration").open()))
    assert {row["system"] for row in bins} == {"strong", "weak"}
    assert sum(int(row["rows"]) for row in bins) == 2 * results.metrics["strong"]["test"]["rows"]


def test_truth_is_a_ceiling_where_it_is_known(layout, interactions, system_scores):
    chance = np.linspace(0, 1, len(interactions))
    columns = {"user_id": interactions.user_id, "position": interactions.position, "probability": chance}
    layout.data.mkdir(parents=True)
    shuffled = np.random.default_rng(0).permutation(len(interactions))
    pq.write_table(pa.table({name: each[shuffled] for name, each in columns.items()}), layout.truth)
    write_results(layout, interactions, system_scores, 5, 7)
    rows = np.flatnonzero(interactions.split > 0)
    share = chance[rows].clip(1e-6, 1 - 1e-6)
    got = load_predictions(layout.prediction("truth")).score
    assert got == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    pq.write_table(pa.table({name: each[:900] for name, each in columns.items()}), layout.truth)
    missing = int((rows >= 900).sum())
    with pytest.raises(
        DataError, match=rf"truth.parquet: no probability for {missing} of the {len(rows)} valid"
    ):
        write_results(layout, interactions, system_scores, 5, 7)


def test_a_second_run_leaves_nothing_of_the_first(layout, results, interactions, system_scores):
    write_results(layout, interactions, {"weak": system_scores["weak"]}, 5, 7)
    assert "strong" not in load_all(layout)
    assert json.loads(layout.differences.read_text())["slices"] == {}


def test_bad_scores_write_nothing(layout, interactions, system_scores):
    rows, score = system_scores["weak"]
    with pytest.raises(DataError, match=r"^weak: score of row \d+ \(user_id \d+, position \d+\) is nan"):
        write_results(layout, interactions, {"weak": (rows, score * np.nan)}, 5, 7)
    assert not layout.reports.exists()


def test_names_are_checked(layout, interactions, system_scores):
    with pytest.raises(
        ValueError, match=r"^random, truth: names of floors, ceilings and reasons can't be a system's$"
    ):
        scores = {"truth": system_scores["weak"], "random": system_scores["weak"]}
        write_results(layout, interactions, scores, 5, 7)
    with pytest.raises(ValueError, match=r"^reference 'x' is none of the systems strong, weak$"):
        write_results(layout, interactions, system_scores, 5, 7, "x")


def test_a_file_without_a_column_is_refused(layout, results):
    path = layout.prediction("weak")
    pq.write_table(pq.read_table(path).drop_columns(["label"]), path)
    with pytest.raises(
        DataError, match=r"weak.parquet: no column label; `thinkrec evaluate` writes the file anew$"
    ):
        load_predictions(path)


def test_one_class_data_have_no_curve_but_a_report(layout, interactions, system_scores):
    all_liked = replace(interactions, label=np.ones_like(interactions.label))
    got = write_results(layout, all_liked, system_scores, 5, 7)
    assert got.metrics["weak"]["test"]["auc"] is None
    assert layout.plot("roc").read_text() == "system,fpr,tpr\n"

"""Everything that is written can be computed again from the predictions."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from thinkrec.errors import DataError, ModelError
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.ranking import METRICS
from thinkrec.reports.predictions import load_all, load_predictions, load_seeds, recompute
from thinkrec.reports.results import write_results


def test_every_number_can_be_recomputed(layout, results):
    written = json.loads(layout.metrics.read_text())
    assert set(written.pop("reasons")) == {"strong"}
    assert set(written) == {"strong", "weak", *FLOORS, "labels"}
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
        for name in list(METRICS)[1:]:
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
    assert {row["system"] for row in roc} == {"strong", "weak", *FLOORS}
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
    with pytest.raises(ModelError, match=r"^weak: score of row \d+ \(user_id \d+, position \d+\) is nan"):
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
        DataError, match=r"weak.parquet: no column label; `thinkrec evaluate` writes the file again$"
    ):
        load_predictions(path)


def test_one_class_data_have_no_curve_but_a_report(layout, interactions, system_scores):
    all_liked = replace(interactions, label=np.ones_like(interactions.label))
    got = write_results(layout, all_liked, system_scores, 5, 7)
    assert got.metrics["weak"]["test"]["auc"] is None
    assert layout.plot("roc").read_text() == "system,fpr,tpr\n"


def test_further_slices_of_every_system(layout, results, interactions):
    written = json.loads(layout.slices.read_text())
    assert written == json.loads(json.dumps(results.slices))
    assert set(written) == {"strong", "weak", *FLOORS, "labels"}
    strong = written["strong"]
    # Item 30 alone misses train, every user is in it, and test rows lie at positions 19 to 23.
    names = ["test/cold_item", "test/head", "test/tail", "test/history_10-24"]
    assert list(results.slices["strong"]) == names
    known = results.metrics["strong"]
    assert strong["test/head"]["rows"] + strong["test/tail"]["rows"] == known["test"]["rows"]
    assert strong["test/cold_item"]["rows"] == known["test/cold"]["rows"]
    for name in names[1:]:
        assert strong[name]["auc_low"] <= strong[name]["auc"] <= strong[name]["auc_high"]
        assert strong[name]["users_uauc"] > 0


def test_groups_are_slices_where_users_are_grouped(layout, interactions, system_scores):
    layout.clusters.mkdir(parents=True)
    group = {"user_id": [*range(1, 41), 999], "group": [1] * 25 + [2] * 15 + [1]}
    pq.write_table(pa.table(group), layout.clusters / "groups.parquet")
    found = write_results(layout, interactions, system_scores, 5, 7).slices["weak"]
    rows = np.bincount(interactions.user_id[interactions.rows("test")])
    assert found["test/group_1"]["rows"] == rows[1:26].sum()
    assert found["test/group_2"]["rows"] == rows[26:41].sum()
    assert found["test/group_none"]["rows"] == rows[41:].sum()


def test_a_winner_is_ahead_of_every_floor_and_system(layout, results, interactions, system_scores):
    assert results.best["test"]["auc"] == "strong"
    assert json.loads(layout.differences.read_text())["best"] == results.best
    assert "test/tail" in results.best
    weak = write_results(layout, interactions, {"weak": system_scores["weak"]}, 60, 7)
    # The floors are better than noise, but no floor is ever named.
    assert weak.best == {part: {} for part in weak.best}


def test_seeds_are_kept_and_averaged(layout, interactions, system_scores):
    rows, score = system_scores["strong"]
    noise = np.random.default_rng(3).normal(size=(2, len(rows)))
    seeds = {"strong": {8: (rows, score + noise[0]), 9: (rows, score + noise[1])}}
    results = write_results(layout, interactions, system_scores, 20, 7, seeds=seeds)
    entry = json.loads(layout.metrics.read_text())["strong"]["test/seeds"]
    kept = load_seeds(layout, "strong")
    assert list(kept) == [8, 9] and load_seeds(layout, "weak") == {}
    assert np.array_equal(kept[9].score, (score + noise[1])[np.argsort(rows)].astype(np.float32))
    parts = [load_all(layout)["strong"], *kept.values()]
    values = [roc_auc_score(each.label[each.slice("test")], each.score[each.slice("test")]) for each in parts]
    assert entry["seeds"] == 3
    assert entry["auc_mean"] == pytest.approx(np.mean(values), abs=1e-8)
    assert entry["auc_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-8)
    assert results.metrics["strong"]["test"]["auc"] == pytest.approx(values[0], abs=1e-8)
    assert "test/seeds" not in results.metrics["weak"]
    assert set(load_all(layout)) == {"strong", "weak", *FLOORS, "labels"}
    assert recompute(layout, 20, 7) == json.loads(layout.metrics.read_text())
    again = write_results(layout, interactions, system_scores, 5, 7)
    assert load_seeds(layout, "strong") == {} and "test/seeds" not in again.metrics["strong"]


def test_seeds_of_what_was_not_scored_are_refused(layout, interactions, system_scores):
    with pytest.raises(ValueError, match=r"^seeds of mf: none of the systems strong, weak$"):
        write_results(layout, interactions, system_scores, 5, 7, seeds={"mf": {8: system_scores["weak"]}})
    rows, score = system_scores["weak"]
    with pytest.raises(ModelError, match=r"^weak, seed 8: score of row \d+"):
        broken = {"weak": {8: (rows, score * np.nan)}}
        write_results(layout, interactions, system_scores, 5, 7, seeds=broken)


def test_a_broken_file_is_refused(layout, results):
    layout.prediction("weak").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"weak.parquet: .*; `thinkrec evaluate` writes the file again$"):
        load_predictions(layout.prediction("weak"))

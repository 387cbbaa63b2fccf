"""Everything that is written can be computed again from the predictions."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scoring import measured_again
from sklearn.metrics import roc_auc_score

from thinkrec.errors import DataError, ModelError
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.ranking import METRICS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN, running_mean
from thinkrec.reports.predictions import (
    load_predictions,
    load_seeds,
    scored_protocols,
    scored_systems,
)
from thinkrec.reports.results import Scores, write_results


def test_every_number_can_be_recomputed(layout, results):
    written = json.loads(layout.metrics.read_text())
    assert set(written.pop("reasons")) == {"strong"}
    assert list(written) == ["frozen", "rolling"] == scored_protocols(layout)
    systems = {"strong", "weak", *FLOORS, "labels"}
    assert set(written["frozen"]) == systems and set(written["rolling"]) == {*systems, MINUS_RUNNING_MEAN}
    for protocol, figures in written.items():
        assert measured_again(layout, protocol, results.draws, results.seed) == figures
        assert results.by_protocol[protocol].metrics == figures


def test_each_protocol_has_its_own_figures(layout, results, interactions, scores):
    """What reads no history has the same ones; the running mean is a floor under rolling histories only."""
    frozen, rolling = (results.by_protocol[name].metrics for name in ("frozen", "rolling"))
    assert {name for name in frozen if frozen[name] != rolling[name]} == {"strong"}
    for protocol, said in scores.items():
        rows, score = (each[np.isin(said.systems["strong"][0], interactions.rows("test"))]
                       for each in said.systems["strong"])  # fmt: skip
        want = roc_auc_score(interactions.label[rows], score)
        found = results.by_protocol[protocol].metrics["strong"]["test"]["auc"]
        assert found == pytest.approx(want, abs=1e-6)
    kept = load_predictions(layout.prediction("rolling", MINUS_RUNNING_MEAN))
    scored = np.flatnonzero(interactions.split > 0)
    assert kept.score == pytest.approx(-running_mean(interactions, scored), abs=1e-7)
    assert results.headline == "frozen"


def test_a_protocol_alone(layout, results, interactions, scores):
    """Of the folder of another protocol nothing is left."""
    write_results(layout, interactions, {"rolling": scores["rolling"]}, 5, 7)
    assert set(json.loads(layout.metrics.read_text())) == {"rolling"}
    assert scored_protocols(layout) == ["rolling"] and not layout.prediction("frozen", "weak").exists()
    assert MINUS_RUNNING_MEAN in scored_systems(layout, "rolling")
    found = write_results(layout, interactions, {"train": scores["frozen"]}, 5, 7)
    assert scored_protocols(layout) == ["train"] and found.headline == "train"
    assert MINUS_RUNNING_MEAN not in scored_systems(layout, "train")


def test_a_changed_score_changes_the_numbers(layout, results):
    path = layout.prediction("rolling", "weak")
    table = pq.read_table(path)
    score = np.sort(table["score"].to_numpy())
    pq.write_table(table.set_column(table.column_names.index("score"), "score", pa.array(score)), path)
    for protocol, changed in (("rolling", True), ("frozen", False)):
        again = measured_again(layout, protocol, 60, 7)["weak"]["test"]
        assert (again != results.by_protocol[protocol].metrics["weak"]["test"]) == changed


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_prediction_files_hold_the_scores(layout, results, interactions, scores, protocol):
    table = pq.read_table(layout.prediction(protocol, "strong"))
    assert table.column_names == ["user_id", "item_id", "position", "split", "label", "score", "not_cold"]
    assert table["score"].type == pa.float32()
    rows, score = scores[protocol].systems["strong"]
    order = np.argsort(rows)
    assert np.array_equal(table["score"].to_numpy(), score[order].astype(np.float32))
    assert np.array_equal(table["position"].to_numpy(), interactions.position[rows[order]])
    assert set(table["split"].to_pylist()) == {"valid", "test"}
    assert set(scored_systems(layout, protocol)) == set(results.by_protocol[protocol].metrics)


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_means_follow_from_results_per_user(layout, results, protocol):
    table = pq.read_table(layout.user_results(protocol, "strong")).to_pandas()
    for part, entry in results.by_protocol[protocol].metrics["strong"].items():
        own = table[table["slice"] == part]
        assert own["rows"].sum() == entry["rows"] and len(own) == entry["users"]
        for name in list(METRICS)[1:]:
            mean = None if own[name].isna().all() else own[name].mean()
            assert mean == pytest.approx(entry[name], abs=1e-8)
    assert set(pq.read_table(layout.user_results(protocol, "weak"))["slice"].to_pylist()) == {
        "test", "test/warm", "test/cold",
    }  # fmt: skip


def test_differences_are_of_the_reference(layout, results):
    written = json.loads(layout.differences.read_text())
    assert (written["reference"], written["draws"], written["seed"]) == ("strong", 60, 7)
    for protocol, found in results.by_protocol.items():
        slices = written[protocol]["slices"]
        assert slices == found.differences
        auc = slices["test"]["item_mean"]["auc"]
        a, b = (found.metrics[name]["test"]["auc"] for name in ("strong", "item_mean"))
        assert auc["difference"] == pytest.approx(a - b, abs=2e-8)
        assert 0 < auc["low"] < auc["high"]
        assert "weak" not in slices["valid"]
    assert set(written) == {"reference", "draws", "seed", "frozen", "rolling"}


def test_plot_files(layout, results):
    """They are drawn of the first protocol's scores."""
    metrics = results.by_protocol["frozen"].metrics
    roc = list(csv.DictReader(layout.plot("roc").open()))
    assert {row["system"] for row in roc} == {"strong", "weak", *FLOORS}
    own = [(float(row["fpr"]), float(row["tpr"])) for row in roc if row["system"] == "strong"]
    assert own[0] == (0, 0) and own[-1] == (1, 1) and own == sorted(own) and len(own) <= 200
    area = np.trapezoid([y for _, y in own], [x for x, _ in own])
    assert area == pytest.approx(metrics["strong"]["test"]["auc"], abs=0.01)
    other = results.by_protocol["rolling"].metrics["strong"]["test"]["auc"]
    assert abs(metrics["strong"]["test"]["auc"] - other) > 0.02
    bins = list(csv.DictReader(layout.plot("calibration").open()))
    assert {row["system"] for row in bins} == {"strong", "weak"}
    assert sum(int(row["rows"]) for row in bins) == 2 * metrics["strong"]["test"]["rows"]


def test_truth_is_a_ceiling_where_it_is_known(layout, interactions, scores):
    chance = np.linspace(0, 1, len(interactions))
    columns = {"user_id": interactions.user_id, "position": interactions.position, "probability": chance}
    layout.data.mkdir(parents=True)
    shuffled = np.random.default_rng(0).permutation(len(interactions))
    pq.write_table(pa.table({name: each[shuffled] for name, each in columns.items()}), layout.truth)
    write_results(layout, interactions, scores, 5, 7)
    rows = np.flatnonzero(interactions.split > 0)
    share = chance[rows].clip(1e-6, 1 - 1e-6)
    got = load_predictions(layout.prediction("frozen", "truth")).score
    assert got == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    pq.write_table(pa.table({name: each[:900] for name, each in columns.items()}), layout.truth)
    missing = int((rows >= 900).sum())
    with pytest.raises(
        DataError, match=rf"truth.parquet: no probability for {missing} of the {len(rows)} valid"
    ):
        write_results(layout, interactions, scores, 5, 7)


def test_a_second_run_leaves_nothing_of_the_first(layout, results, interactions, system_scores):
    write_results(layout, interactions, {"frozen": Scores({"weak": system_scores["weak"]})}, 5, 7)
    assert "strong" not in scored_systems(layout, "frozen")
    assert json.loads(layout.differences.read_text())["frozen"]["slices"] == {}


def test_bad_scores_write_nothing(layout, interactions, system_scores, scores):
    rows, score = system_scores["weak"]
    with pytest.raises(ModelError, match=r"^weak: score of row \d+ \(user_id \d+, position \d+\) is nan"):
        bad = {"frozen": scores["frozen"], "rolling": Scores({"weak": (rows, score * np.nan)})}
        write_results(layout, interactions, bad, 5, 7)
    assert not layout.reports.exists()


def test_names_are_checked(layout, interactions, system_scores):
    with pytest.raises(
        ValueError, match=r"^random, truth: names of floors, ceilings and reasons can't be a system's$"
    ):
        taken = {"truth": system_scores["weak"], "random": system_scores["weak"]}
        write_results(layout, interactions, {"frozen": Scores(taken)}, 5, 7)
    with pytest.raises(ValueError, match=r"^minus_running_mean: names of floors"):
        taken = {MINUS_RUNNING_MEAN: system_scores["weak"]}
        write_results(layout, interactions, {"frozen": Scores(taken)}, 5, 7)
    with pytest.raises(ValueError, match=r"^reference 'x' is none of the systems strong, weak$"):
        write_results(layout, interactions, {"frozen": Scores(system_scores)}, 5, 7, "x")


def test_a_file_without_a_column_is_refused(layout, results):
    path = layout.prediction("rolling", "weak")
    pq.write_table(pq.read_table(path).drop_columns(["label"]), path)
    with pytest.raises(
        DataError, match=r"weak.parquet: no column label; `thinkrec evaluate` writes the file again$"
    ):
        load_predictions(path)


def test_one_class_data_have_no_curve_but_a_report(layout, interactions, scores):
    all_liked = replace(interactions, label=np.ones_like(interactions.label))
    got = write_results(layout, all_liked, scores, 5, 7)
    assert all(each.metrics["weak"]["test"]["auc"] is None for each in got.by_protocol.values())
    assert layout.plot("roc").read_text() == "system,fpr,tpr\n"


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_further_slices_of_every_system(layout, results, interactions, protocol):
    found = results.by_protocol[protocol]
    written = json.loads(layout.slices.read_text())[protocol]
    assert written == json.loads(json.dumps(found.slices))
    own = {MINUS_RUNNING_MEAN} if protocol == "rolling" else set()
    assert set(written) == {"strong", "weak", *FLOORS, "labels"} | own
    strong = written["strong"]
    # Item 30 alone misses train, every user is in it, and test rows lie at positions 19 to 23.
    names = ["test/cold_item", "test/head", "test/tail", "test/history_10-24", "test/history_2+"]
    assert list(found.slices["strong"]) == names
    known = found.metrics["strong"]
    assert strong["test/head"]["rows"] + strong["test/tail"]["rows"] == known["test"]["rows"]
    assert strong["test/cold_item"]["rows"] == known["test/cold"]["rows"]
    for name in names[1:]:
        assert strong[name]["auc_low"] <= strong[name]["auc"] <= strong[name]["auc_high"]
        assert strong[name]["users_uauc"] > 0


def test_groups_are_slices_where_users_are_grouped(layout, interactions, system_scores):
    layout.clusters.mkdir(parents=True)
    group = {"user_id": [*range(1, 41), 999], "group": [1] * 25 + [2] * 15 + [1]}
    pq.write_table(pa.table(group), layout.clusters / "groups.parquet")
    results = write_results(layout, interactions, {"frozen": Scores(system_scores)}, 5, 7)
    found = results.by_protocol["frozen"].slices["weak"]
    rows = np.bincount(interactions.user_id[interactions.rows("test")])
    assert found["test/group_1"]["rows"] == rows[1:26].sum()
    assert found["test/group_2"]["rows"] == rows[26:41].sum()
    assert found["test/group_none"]["rows"] == rows[41:].sum()


def test_a_winner_is_ahead_of_every_floor_and_system(layout, results, interactions, system_scores):
    written = json.loads(layout.differences.read_text())
    for protocol, found in results.by_protocol.items():
        assert found.best["test"]["auc"] == "strong"
        assert written[protocol]["best"] == found.best
        assert "test/tail" in found.best
    scores = {each: Scores({"weak": system_scores["weak"]}) for each in ("frozen", "rolling")}
    # The floors are better than noise, but no floor is ever named.
    for weak in write_results(layout, interactions, scores, 60, 7).by_protocol.values():
        assert weak.best == {part: {} for part in weak.best}


def test_seeds_are_kept_and_averaged(layout, interactions, system_scores):
    rows, score = system_scores["strong"]
    noise = np.random.default_rng(3).normal(size=(2, len(rows)))
    seeds = {"strong": {8: (rows, score + noise[0]), 9: (rows, score + noise[1])}}
    scores = {"frozen": Scores(system_scores, seeds), "rolling": Scores(system_scores)}
    results = write_results(layout, interactions, scores, 20, 7).by_protocol["frozen"]
    entry = json.loads(layout.metrics.read_text())["frozen"]["strong"]["test/seeds"]
    kept = load_seeds(layout, "frozen", "strong")
    assert list(kept) == [8, 9] and load_seeds(layout, "frozen", "weak") == {}
    assert load_seeds(layout, "rolling", "strong") == {}
    assert np.array_equal(kept[9].score, (score + noise[1])[np.argsort(rows)].astype(np.float32))
    parts = [load_predictions(layout.prediction("frozen", "strong")), *kept.values()]
    values = [roc_auc_score(each.label[each.slice("test")], each.score[each.slice("test")]) for each in parts]
    assert entry["seeds"] == 3
    assert entry["auc_mean"] == pytest.approx(np.mean(values), abs=1e-8)
    assert entry["auc_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-8)
    assert results.metrics["strong"]["test"]["auc"] == pytest.approx(values[0], abs=1e-8)
    assert "test/seeds" not in results.metrics["weak"]
    assert set(scored_systems(layout, "frozen")) == {"strong", "weak", *FLOORS, "labels"}
    assert measured_again(layout, "frozen", 20, 7) == json.loads(layout.metrics.read_text())["frozen"]
    again = write_results(layout, interactions, {"frozen": Scores(system_scores)}, 5, 7)
    assert load_seeds(layout, "frozen", "strong") == {}
    assert "test/seeds" not in again.by_protocol["frozen"].metrics["strong"]


def test_seeds_of_what_was_not_scored_are_refused(layout, interactions, system_scores):
    with pytest.raises(ValueError, match=r"^seeds of mf: none of the systems strong, weak$"):
        unscored = Scores(system_scores, {"mf": {8: system_scores["weak"]}})
        write_results(layout, interactions, {"frozen": unscored}, 5, 7)
    rows, score = system_scores["weak"]
    with pytest.raises(ModelError, match=r"^weak, seed 8: score of row \d+"):
        broken = {"weak": {8: (rows, score * np.nan)}}
        write_results(layout, interactions, {"frozen": Scores(system_scores, broken)}, 5, 7)


def test_a_broken_file_is_refused(layout, results):
    path = layout.prediction("frozen", "weak")
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"weak.parquet: .*; `thinkrec evaluate` writes the file again$"):
        load_predictions(path)

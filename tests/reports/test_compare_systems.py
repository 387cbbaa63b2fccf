"""`thinkrec compare` from the files that evaluate wrote."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from tables import write_interactions

from thinkrec.data.tables import SPLITS
from thinkrec.errors import ConfigError, DataError, MissingInputError
from thinkrec.metrics.floors import FLOORS
from thinkrec.reports.comparison import compare_systems, tables
from thinkrec.reports.results import Scores, write_results
from thinkrec.reports.verdict import title, verdict


@pytest.fixture
def prepared(layout, results, interactions):
    names = ("user_id", "item_id", "label", "timestamp", "position", "not_cold")
    columns = {name: getattr(interactions, name) for name in names}
    layout.data.mkdir(parents=True)
    table = pa.table(columns | {"split": np.array(SPLITS)[interactions.split]})
    write_interactions(layout.interactions, table)
    return layout


def said(found) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        for table in tables(found):
            console.print(table)
    return capture.get()


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_written_and_returned_are_the_same(prepared, results, protocol):
    found = compare_systems(prepared, "strong", "item_mean", protocol, "test", 60, 7)
    assert json.loads(prepared.comparison("strong", "item_mean", protocol).read_text()) == found
    assert found["protocol"] == protocol
    assert found["trainings"] == {"a": 1, "b": 1}
    assert list(found["slices"]) == [
        "test", "test/warm", "test/cold_item", "test/head", "test/tail", "test/history_10-24",
        "test/history_2+",
    ]  # fmt: skip
    # The same draws as the report's differences, which are of another way through the code.
    want = results.by_protocol[protocol].differences["test"]["item_mean"]
    for name, each in want.items():
        got = found["slices"]["test"][name]
        assert {key: got[key] for key in each} == pytest.approx(each, abs=2e-8)
    for system, side in (("strong", "a"), ("item_mean", "b")):
        tail = results.by_protocol[protocol].slices[system]["test/tail"]
        assert found["slices"]["test/tail"]["uauc"][side] == pytest.approx(tail["uauc"], abs=2e-8)


def test_the_table_is_whole_in_80_columns(prepared):
    text = said(compare_systems(prepared, "strong", "weak", "frozen", "test", 60, 7))
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    assert re.search(r"^all +auc +50 +0\.\d{4} +0\.\d{4} \+0\.\d{4} \[\+0\.\d+,\+0\.\d+\] +- +A$", text, re.M)
    assert "A: strong, 1 training seed: the variance between trainings is NOT in the interval" in " ".join(
        text.split()
    )
    assert "60 draws, seed 7" in text
    none = said(compare_systems(prepared, "weak", "random", "frozen", "test", 60, 7))
    assert re.search(r"^all +auc .*\[-0\.\d+,\+0\.\d+\] +- +-$", none, re.M)
    assert "B: random, a floor, which is not trained" in none


def test_all_trainings_are_read(prepared, interactions, system_scores):
    rows, score = system_scores["strong"]
    poor = np.random.default_rng(3).normal(size=len(rows))
    seeds = {"strong": {8: (rows, score), 9: (rows, poor)}}
    write_results(prepared, interactions, {"frozen": Scores(system_scores, seeds)}, 5, 7)
    found = compare_systems(prepared, "strong", "weak", "frozen", "test", 100, 7)
    assert found["trainings"] == {"a": 3, "b": 1}
    apart = found["slices"]["test"]["auc"]
    assert apart["difference"] > 0.1 and apart["low"] < 0.1 and apart["ahead"] is None
    assert "A: strong, 3 training seeds: values are their means, each draw samples one of them" in " ".join(
        said(found).split()
    )


def test_valid_can_be_compared_where_it_was_scored(prepared):
    found = compare_systems(prepared, "strong", "item_mean", "frozen", "valid", 60, 7)
    assert next(iter(found["slices"])) == "valid" and found["slices"]["valid"]["rows"] > 0
    with pytest.raises(DataError, match=r"weak\.parquet: no valid row was scored, so there is nothing"):
        compare_systems(prepared, "strong", "weak", "frozen", "valid", 60, 7)


def test_names_are_checked(prepared):
    known = ", ".join(sorted(["strong", "weak", "labels", *FLOORS]))
    with pytest.raises(ConfigError) as error:
        compare_systems(prepared, "strong", "../mf", "frozen", "test", 60, 7)
    assert str(error.value) == (
        f"{prepared.predictions} has no predictions of '../mf'; there are {known} "
        "(`thinkrec evaluate --dataset demo` scores those of evaluate.systems)"
    )
    with pytest.raises(ConfigError) as error:
        compare_systems(prepared, "weak", "weak", "frozen", "test", 60, 7)
    assert str(error.value) == f"weak is compared with itself; name two systems of {known}"
    with pytest.raises(ConfigError) as error:
        compare_systems(prepared, "strong", "minus_running_mean", "frozen", "test", 60, 7)
    assert "has no predictions of 'minus_running_mean'" in str(error.value)
    assert compare_systems(prepared, "strong", "minus_running_mean", "rolling", "test", 60, 7)["slices"]
    with pytest.raises(ConfigError) as error:
        compare_systems(prepared, "strong", "weak", "train", "test", 60, 7)
    assert str(error.value) == (
        f"{prepared.predictions} has no predictions under train histories; there are frozen, rolling "
        "(`evaluate.protocols` names those that evaluate scores)"
    )


def test_without_predictions_the_command_that_makes_them_is_named(layout):
    with pytest.raises(MissingInputError) as error:
        compare_systems(layout, "mf", "sasrec", "frozen", "test", 60, 7)
    assert str(error.value) == (
        f"{layout.predictions} is not there yet: `thinkrec evaluate --dataset demo` makes it"
    )


@pytest.mark.parametrize("column", ["item_id", "label", "position", "row"])
def test_other_rows_are_refused(prepared, interactions, column):
    path = prepared.prediction("frozen", "weak")
    table = pq.read_table(path)
    if column == "row":
        table = table.slice(1)
    else:
        changed = table[column].to_numpy().copy()
        changed[3] = 1 - changed[3]
        table = table.set_column(table.column_names.index(column), column, pa.array(changed))
    pq.write_table(table, path)
    rows = len(interactions.rows("test"))
    with pytest.raises(DataError) as error:
        compare_systems(prepared, "strong", "weak", "frozen", "test", 60, 7)
    assert str(error.value) == (
        f"{path}: its {table.num_rows} test rows are not the {rows} of the interactions; "
        "`thinkrec evaluate --dataset demo` scores all systems on the same rows"
    )
    assert not prepared.comparison("strong", "weak", "frozen").exists()


def test_a_lucky_first_training_is_not_ahead(prepared, interactions):
    """What the page says of two systems is what `compare` says of them."""
    rng = np.random.default_rng(3)
    rows = np.concatenate([interactions.rows("valid"), interactions.rows("test")])
    label, noise = interactions.label[rows], rng.normal(size=(4, len(rows)))
    scores = {"lucky": (rows, 3.0 * label + noise[0]), "other": (rows, 0.9 * label + noise[1])}
    seeds = {"lucky": {8: (rows, 0.7 * label + noise[2]), 9: (rows, 0.6 * label + noise[3])}}
    alone = write_results(prepared, interactions, {"frozen": Scores(scores)}, 200, 7).by_protocol["frozen"]
    assert title(alone) == "lucky is ahead in UAUC"
    found = write_results(prepared, interactions, {"frozen": Scores(scores, seeds)}, 200, 7, "lucky")
    mine = found.by_protocol["frozen"]
    assert title(mine) == "nobody is ahead of all others in UAUC" and "uauc" not in mine.best.get("test", {})
    theirs = compare_systems(prepared, "lucky", "other", "frozen", "test", 200, 7)["slices"]["test"]["uauc"]
    assert theirs["ahead"] is None
    entry, apart = mine.pooled["lucky"]["test"], mine.differences["test"]["other"]["uauc"]
    assert entry["uauc"] == pytest.approx(theirs["a"], abs=1e-7)
    assert apart["difference"] == pytest.approx(theirs["difference"], abs=1e-7)
    assert mine.metrics["lucky"]["test"] == alone.metrics["lucky"]["test"]  # of the first training
    first = mine.leaders["uauc"].system
    assert f"{mine.pooled[first]['test']['uauc']:.4f}" in verdict(mine, "uauc")

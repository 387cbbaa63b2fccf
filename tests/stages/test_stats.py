"""`stats`: every statistic of a small table known by hand, the real MovieLens-1M, the command."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from records import write_record_of
from rich.console import Console
from small_chain import seal
from tables import write_interactions

from thinkrec.config.sections import Params, Prep
from thinkrec.config.sources import DemoSource, Ml1mSource
from thinkrec.config.write import params_text
from thinkrec.data.prepare import prepare
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError
from thinkrec.layout import Layout
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.reports.statistics import tables
from thinkrec.runs import recorded
from thinkrec.stages.stats import statistics
from thinkrec_cli.main import run

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ml-1m"
START = 1_600_000_000  # 2020-09-13T12:26:40Z
DEMO = DemoSource(reader="demo")
Row = tuple[int, int, int, int, str, bool]

# user, item, label, seconds after START, split, not_cold
ROWS: list[Row] = [
    (1, 1, 1, 100, "train", True),
    (1, 2, 0, 100, "train", True),  # tied with the row above
    (1, 3, 1, 200, "valid", False),  # item 3 is not in train
    (1, 1, 0, 300, "test", True),
    (1, 2, 1, 400, "test", True),
    (2, 1, 1, 150, "train", True),
    (2, 2, 1, 250, "valid", True),
    (2, 2, 1, 250, "test", True),  # tied with the row above, across splits
    (3, 3, 0, 250, "valid", False),  # neither is in train; another user's 250 is no tie
    (3, 1, 1, 310, "test", False),  # user 3 is not in train
]
TITLES = ["One", None, "Three", " \t", ""]  # items 4 and 5 have no rows
USERS = 4  # user 4 has no rows


def write_tables(
    layout: Layout, rows: Iterable[Row], titles: list[str | None] = TITLES, users: int = USERS
) -> None:
    """The tables of prep; positions count each user's rows in the order given."""
    layout.data.mkdir(parents=True, exist_ok=True)
    listed = list(rows)
    positions = [sum(other[0] == row[0] for other in listed[:place]) for place, row in enumerate(listed)]
    user, item, label, seconds, split, warm = map(list, zip(*listed, strict=True)) if listed else [[]] * 6
    columns = {
        "user_id": pa.array(user, pa.int32()),
        "item_id": pa.array(item, pa.int32()),
        "label": pa.array(label, pa.int8()),
        "rating": pa.array([float(one) for one in label], pa.float32()),
        "timestamp": pa.array([(START + one) * 10**9 for one in seconds], pa.int64()),
        "position": pa.array(positions, pa.int32()),
        "split": pa.array(split, pa.string()),
        "not_cold": pa.array(warm, pa.bool_()),
    }
    write_interactions(layout.interactions, pa.table(columns))
    ids = pa.array(range(1, len(titles) + 1), pa.int32())
    pq.write_table(pa.table({"item_id": ids, "title": pa.array(titles, pa.string())}), layout.items)
    pq.write_table(pa.table({"user_id": pa.array(range(1, users + 1), pa.int32())}), layout.users)


def write_record(layout: Layout, **facts: Any) -> None:
    files = {"ratings.csv": {"given": 14, "read": 12, "quarantined": {"empty [b]user[/b] id": 2}}}
    write_record_of(layout, "prep", files=files, **facts)


def shown(stats: dict[str, Any], width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for table in tables(stats):
        console.print(table)
    return out.getvalue()


def line(text: str, start: str) -> list[str]:
    """Cells of the first table row whose label is `start`."""
    found = [row for row in text.splitlines() if row.startswith(f"│ {start} ")]
    return [cell.strip() for cell in found[0].strip("│").split("│")][1:]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("demo", tmp_path)
    write_tables(made, ROWS)
    return made


def test_every_statistic_of_a_table_known_by_hand(layout: Layout) -> None:
    stats = statistics(layout, DEMO)
    assert stats["dataset"] == "demo"
    assert stats["parts"]["all"] == {
        "rows": 10,
        "users": 3,
        "items": 3,
        "density": 10 / 9,
        "positives": 7,
        "positives_share": 0.7,
        "first": "2020-09-13T12:28:20Z",
        "last": "2020-09-13T12:33:20Z",
        "rows_per_user": {"min": 2, "median": 3, "mean": 10 / 3, "max": 5},
        "rows_per_item": {"min": 2, "median": 4, "mean": 10 / 3, "max": 4},
        "tied_rows": 4,
        "tied_rows_share": 0.4,
        "users_one_class": 1,
        "users_one_row": 0,
    }
    assert stats["parts"]["train"] == {
        "rows": 3,
        "users": 2,
        "items": 2,
        "density": 3 / 4,
        "positives": 2,
        "positives_share": 2 / 3,
        "first": "2020-09-13T12:28:20Z",
        "last": "2020-09-13T12:29:10Z",
        "rows_per_user": {"min": 1, "median": 1.5, "mean": 1.5, "max": 2},
        "rows_per_item": {"min": 1, "median": 1.5, "mean": 1.5, "max": 2},
        "tied_rows": 2,
        "tied_rows_share": 2 / 3,
        "users_one_class": 1,
        "users_one_row": 1,
    }
    assert stats["parts"]["valid"] == {
        "rows": 3,
        "users": 3,
        "items": 2,
        "density": 1 / 2,
        "positives": 2,
        "positives_share": 2 / 3,
        "first": "2020-09-13T12:30:00Z",
        "last": "2020-09-13T12:30:50Z",
        "rows_per_user": {"min": 1, "median": 1, "mean": 1, "max": 1},
        "rows_per_item": {"min": 1, "median": 1.5, "mean": 1.5, "max": 2},
        "tied_rows": 1,
        "tied_rows_share": 1 / 3,
        "users_one_class": 3,
        "users_one_row": 3,
        "new_user": 1,
        "new_user_share": 1 / 3,
        "new_item": 2,
        "new_item_share": 2 / 3,
        "new_both": 1,
        "new_both_share": 1 / 3,
        "not_cold": 1,
        "not_cold_share": 1 / 3,
    }
    test = stats["parts"]["test"]
    assert (test["rows"], test["users"], test["items"], test["density"]) == (4, 3, 2, 4 / 6)
    assert (test["positives"], test["users_one_class"], test["users_one_row"]) == (3, 2, 2)
    assert (test["new_user"], test["new_item"], test["new_both"], test["not_cold"]) == (1, 0, 0, 3)
    assert (test["tied_rows"], test["tied_rows_share"]) == (1, 1 / 4)
    assert stats["lists"] == {
        "items": 5,
        "items_without_title": 3,
        "items_without_rows": 2,
        "users": 4,
        "users_without_rows": 1,
    }
    assert stats["prep"] is stats["published"] is None
    assert not layout.work("stats").exists()


@pytest.mark.parametrize("rows", [ROWS[:2], ROWS[:1], []], ids=["train only", "no tie", "none"])
def test_parts_without_rows(tmp_path: Path, rows: list[Row]) -> None:
    layout = Layout("demo", tmp_path)
    write_tables(layout, rows)
    stats = statistics(layout, DEMO)
    valid = stats["parts"]["valid"]
    assert (valid["rows"], valid["users"], valid["tied_rows"], valid["new_user"]) == (0, 0, 0, 0)
    assert valid["density"] is valid["positives_share"] is valid["first"] is valid["not_cold_share"] is None
    assert stats["parts"]["all"]["rows"] == stats["parts"]["train"]["rows"] == len(rows)
    assert stats["parts"]["all"]["tied_rows"] == (2 if len(rows) == 2 else 0)
    assert line(shown(stats), "density")[2:] == ["-", "-"]
    json.dumps(stats, allow_nan=False)


def test_populations_are_those_of_the_metrics(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    splits = np.array(["train", "valid", "test"])
    moments = np.sort(draw.integers(0, 60, 900))
    rows = [
        (*(int(draw.integers(1, 40) + moment) for _ in range(2)), int(draw.integers(0, 2)), int(moment))
        for moment in moments  # later moments have new users and new items
    ]
    part = [str(splits[np.searchsorted([35, 47], row[3], side="right")]) for row in rows]
    seen = [{row[k] for row, split in zip(rows, part, strict=True) if split == "train"} for k in (0, 1)]
    listed: list[Row] = [
        (*row, split, row[0] in seen[0] and row[1] in seen[1]) for row, split in zip(rows, part, strict=True)
    ]
    layout = Layout("demo", tmp_path)
    write_tables(layout, sorted(listed, key=lambda row: row[0]))
    parts = statistics(layout, DEMO)["parts"]
    table = Interactions.load(layout.interactions)
    own = np.array(
        [
            np.sum((table.user_id == user) & (table.timestamp == moment))
            for user, moment in zip(table.user_id, table.timestamp, strict=True)
        ]
    )
    for name in ("train", "valid", "test"):
        picked = table.rows(name)
        users, items, labels = (column[picked] for column in (table.user_id, table.item_id, table.label))
        population = ranking_metrics(users, labels, np.zeros(len(picked))).population
        entry = parts[name]
        assert entry["rows"] == population["rows"] > 0
        assert entry["users"] - entry["users_one_class"] == population["users_uauc"] > 0
        assert entry["users"] - entry["users_one_row"] == population["users_ranked"]
        assert entry["tied_rows"] == np.sum(own[picked] > 1) > 0
        counts = np.unique(items, return_counts=True)[1]
        assert entry["rows_per_item"]["median"] == np.median(counts)
        if name != "train":
            cold = entry["new_user"] + entry["new_item"] - entry["new_both"]
            assert entry["rows"] - cold == entry["not_cold"] == table.not_cold[picked].sum()
            assert entry["new_user"] == np.sum(~np.isin(users, list(seen[0]))) > 0
            assert entry["new_both"] > 0
    assert parts["all"]["tied_rows"] == np.sum(own > 1)


def test_what_prep_dropped(layout: Layout) -> None:
    write_record(layout)
    assert statistics(layout, DEMO)["prep"] == {
        "files": {"ratings.csv": {"given": 14, "read": 12, "quarantined": {"empty [b]user[/b] id": 2}}},
        "left_out": {},
        "warnings": [],
        "ratings_of_known_items": None,
        "settings": None,
    }
    write_record(layout, left_out={"outside the window": 2}, warnings=["random splits [red]leak[/red]"])
    stats = statistics(layout, DEMO)
    assert stats["prep"]["left_out"] == {"outside the window": 2}
    text = shown(stats)
    assert line(text, "ratings.csv") == ["given", "14"]
    assert "│ quarantined: empty [b]user[/b] id │    2 │" in text
    assert "│ left out: outside the window      │    2 │" in text
    assert "warning of prep: random splits [red]leak[/red]\n" in text


def test_tables_as_printed(layout: Layout) -> None:
    text = shown(statistics(layout, DEMO))
    assert max(map(len, text.splitlines())) <= 80
    assert line(text, "rows") == ["10", "3", "3", "4"]
    assert line(text, "density") == ["111 %", "75 %", "50 %", "66.7 %"]
    assert line(text, "rows per user: mean") == ["3.33", "1.50", "1", "1.33"]
    assert line(text, "last moment (UTC)") == ["2020-09-13"] * 4
    assert line(text, "item not in train") == ["-", "-", "2", "0"]
    assert "items.parquet: 5 items, 3 without a title, 2 without rows\n" in text
    assert "users.parquet: 4 users, 1 without rows\n" in text
    assert "what prep dropped is not known: its record is not there\n" in text
    assert text.endswith("no counts of this data set were published\n")


@pytest.mark.skipif(not SHARED.exists(), reason="MovieLens-1M is not in ../shared/data/ml-1m")
def test_movielens_splits_are_the_papers(tmp_path: Path) -> None:
    layout = Layout("ml1m", tmp_path)
    source = Ml1mSource(reader="ml1m", raw=str(SHARED))
    with recorded(layout, "prep", 7) as facts:
        facts.update(prepare(layout, source, Prep()))
    stats = statistics(layout, source)
    parts, published = stats["parts"], stats["published"]
    assert [parts[name]["rows"] for name in ("train", "valid", "test")] == [33_891, 10_401, 7_331]
    assert published["other_settings"] == {}
    equal = {each["what"]: each["equal"] for each in published["counts"]}
    assert equal == {
        "rows train": True,
        "rows valid": True,
        "rows test": True,
        "users": None,
        "items": None,
        "raw ratings": True,
    }
    text = shown(stats)
    assert line(text, "rows train") == ["33,891", "33,891", "0", "yes", "paper, Table 1"]
    assert line(text, "users (1)")[1:] == ["5,945", "-5,107", "-", "paper, Table 1"]
    table = Interactions.load(layout.interactions)
    assert parts["test"]["not_cold"] == table.not_cold[table.rows("test")].sum()


def test_other_settings_are_named_below_the_counts(layout: Layout) -> None:
    source = Ml1mSource.model_validate({"reader": "ml1m", "split": {"rule": "random"}})
    text = shown(statistics(layout, source), width=120)
    assert line(text, "rows test") == ["4", "7,331", "-7,327", "no", "paper, Table 1"]
    assert text.endswith("split.rule is random; published counts are for the paper's: months\n")


@pytest.fixture
def project(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The tables above in a project's root."""
    (layout.root / "params.yaml").write_text(params_text(Params()))
    seal(layout, Params())
    monkeypatch.chdir(layout.root)
    monkeypatch.delenv("THINKREC_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return Layout("demo")


def test_the_command_prints_and_writes(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", "--dataset", "demo"]) == 0
    out = capsys.readouterr().out
    assert line(out, "rows") == ["10", "3", "3", "4"]
    assert out.endswith("stats of demo: written to reports/demo/stats.json\n")
    assert json.loads(project.stats.read_text()) == statistics(project, DEMO)


def test_the_command_without_its_inputs(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", "--dataset", "other"]) == 3
    assert "names no data set `other` (known: demo)" in capsys.readouterr().err
    project.users.unlink()
    assert run(["stats", "--dataset", "demo"]) == 4
    assert capsys.readouterr().err == (
        "error: data/demo/users.parquet is not there yet: `thinkrec prep --dataset demo` makes it\n"
    )
    assert not project.stats.exists()


def test_tables_and_records_that_prep_did_not_write(layout: Layout) -> None:
    for facts in ({}, {"files": 3}, {"files": {"a": 1}}, {"files": {}, "left_out": [1]}):
        write_record_of(layout, "prep", **facts)
        with pytest.raises(
            DataError, match=r"run/prep\.json is not what `thinkrec prep` wrote \(.*: run `thin"
        ):
            statistics(layout, DEMO)
    layout.record("prep").unlink()
    pq.write_table(pa.table({"user": [1]}), layout.interactions)
    with pytest.raises(DataError, match=r"holds other tables than prep writes .*: run `thinkrec prep --data"):
        statistics(layout, DEMO)
    layout.interactions.write_bytes(b"not Parquet at all")
    with pytest.raises(DataError, match="holds other tables than prep writes"):
        statistics(layout, DEMO)
    assert not layout.work("stats").exists()

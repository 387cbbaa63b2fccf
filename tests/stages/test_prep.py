"""`prep`: tables, splits, ids, order, determinism."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prep_raw import (
    SECOND,
    START,
    append,
    prep_demo,
    prep_ml1m,
    ratings,
    stored,
    write_csv,
    write_demo,
    write_ml1m,
)

from thinkrec.config.sections import Prep
from thinkrec.config.sources import DemoSource, Ml1mSource, MonthSplit
from thinkrec.data import splits, tables
from thinkrec.data.prepare import prepare
from thinkrec.layout import Layout

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ml-1m"


def test_demo_tables(tmp_path: Path) -> None:
    write_demo(tmp_path, ratings())
    facts = prep_demo(tmp_path)
    layout = Layout("demo", tmp_path)
    table = pq.read_table(layout.interactions)
    assert {field.name: str(field.type) for field in table.schema} == {
        "user_id": "int32",
        "item_id": "int32",
        "label": "int8",
        "rating": "float",
        "timestamp": "timestamp[ns]",
        "position": "int32",
        "split": "string",
        "not_cold": "bool",
    }
    rows = table.to_pylist()
    assert [(row["user_id"], row["position"]) for row in rows] == [
        (u, p) for u in range(1, 5) for p in range(10)
    ]
    assert all(row["label"] == (row["rating"] > 3) for row in rows)
    assert {name: counts["rows"] for name, counts in facts["splits"].items()} == {
        "train": 28,
        "valid": 6,
        "test": 6,
    }
    by_time = sorted(rows, key=lambda row: row["timestamp"])
    assert [row["split"] for row in by_time] == ["train"] * 28 + ["valid"] * 6 + ["test"] * 6
    assert pq.read_table(layout.users).to_pylist() == [
        {"user_id": n + 1, "raw_id": f"u{n}"} for n in range(4)
    ]
    assert pq.read_table(layout.items).to_pylist()[2] == {
        "item_id": 3,
        "raw_id": "i2",
        "title": "Title 2",
        "description": "About 2",
        "categories": [],
    }
    assert pq.read_table(layout.quarantine).num_rows == 0
    assert pq.read_metadata(layout.truth).num_rows == 0
    assert not layout.work("prep").exists()
    assert len(tables.Interactions.load(layout.interactions)) == 40


def test_splits_names_are_those_of_the_tables() -> None:
    assert splits.SPLITS == tables.SPLITS


def test_equal_timestamps_keep_the_files_order(tmp_path: Path) -> None:
    same = [(user, item, rating, START) for user, item, rating, _ in ratings(users=1, rows=7)]
    later = [("u0", f"i{n}", 1 + 4 * (n % 2), START + 9) for n in (5, 0, 6, 3, 1, 2)]
    write_demo(tmp_path, later + same)
    prep_demo(tmp_path)
    table = pq.read_table(Layout("demo", tmp_path).interactions).to_pylist()
    assert [row["item_id"] - 1 for row in table] == [0, 1, 2, 3, 4, 5, 6, 5, 0, 6, 3, 1, 2]
    assert [row["split"] for row in table[-4:]] == ["valid", "valid", "test", "test"]


def test_held_out_cut_gives_test_the_odd_row(tmp_path: Path) -> None:
    write_demo(tmp_path, ratings(rows=50))  # 30 % are 15 rows
    counts = prep_demo(tmp_path)["splits"]
    assert [counts[name]["rows"] for name in ("train", "valid", "test")] == [35, 7, 8]


def test_natural_order_of_ids(tmp_path: Path) -> None:
    rows = [(f"{n % 11}", f"i{n % 7}", 1 + n % 5, START + n) for n in range(60)]
    write_demo(tmp_path, rows)
    prep_demo(tmp_path)
    assert pq.read_table(Layout("demo", tmp_path).users)["raw_id"].to_pylist() == [str(n) for n in range(11)]


def test_not_cold_needs_user_and_item_in_train(tmp_path: Path) -> None:
    rows = [
        *ratings(rows=28),
        *[(f"u{n % 2}", f"i{n}", 1 + 4 * (n % 2), START + 10**6 + n) for n in range(4)],
    ]
    rows += [("new", "i1", 5, START + 10**7), ("u1", "i1", 1, START + 10**7 + 1)]
    items = [(f"i{n}", f"T{n}", "") for n in range(7)] + [("late", "Late", "")]
    rows += [("u1", "late", 5, START + 10**7 + 2), ("u1", "unseen", 5, START + 10**7 + 3)]
    write_demo(tmp_path, rows, items)
    facts = prep_demo(tmp_path)
    table = stored(Layout("demo", tmp_path))
    users = {
        row["raw_id"]: row["user_id"] for row in pq.read_table(Layout("demo", tmp_path).users).to_pylist()
    }
    cold = [
        (row["user_id"] == users["new"], row["timestamp"] // SECOND - START - 10**7)
        for row in table
        if not row["not_cold"]
    ]
    assert cold == [(True, 0), (False, 2)] or cold == [(False, 2), (True, 0)]
    assert facts["files"]["ratings.csv"]["quarantined"] == {"unknown item": 1}
    assert all(row["not_cold"] for row in table if row["split"] == "train")


def test_truth_follows_its_interaction(tmp_path: Path) -> None:
    rows = ratings()
    raw = write_demo(tmp_path, rows)
    truth = [(user, item, moment, n / 100) for n, (user, item, _, moment) in enumerate(rows)]
    write_csv(raw / "truth.csv", "user,item,timestamp,probability", [*truth[::-1], ("u0", "i0", 1, 0.5)])
    append(raw / "truth.csv", b"u0,i0,1600000000,1.5")
    facts = prep_demo(tmp_path)
    layout = Layout("demo", tmp_path)
    got = pq.read_table(layout.truth)
    assert got.column_names == ["user_id", "item_id", "position", "probability"]
    # user u0 has rows 0, 4, 8, ... of the file
    assert got["probability"].to_pylist()[:10] == [n / 100 for n in range(0, 40, 4)]
    assert facts["files"]["truth.csv"]["quarantined"] == {
        "no such rating": 1,
        "probability is not between 0 and 1": 1,
    }
    (raw / "truth.csv").unlink()
    prep_demo(tmp_path)
    assert pq.read_metadata(layout.truth).num_rows == 0, "an older run's truth must not outlive its source"


def test_truth_of_ratings_that_a_rule_leaves_out_is_no_fault(tmp_path: Path) -> None:
    rows = ratings(users=3, rows=60)
    rare = [("rare", f"i{n}", 1 + n, START + 7000 + n) for n in range(3)]
    wrong = [
        ("u0", "i0", 9, START + 8000),
        ("u0", "gone", 3, START + 8001),
    ]  # a fault each: not left out by a rule
    raw = write_demo(tmp_path, [*rows, *rare, *wrong])
    truth = [(user, item, moment, 0.5) for user, item, _, moment in [*rows, *rare, *wrong]]
    write_csv(raw / "truth.csv", "user,item,timestamp,probability", truth)
    facts = prep_source(tmp_path, min_interactions=6)
    assert facts["left_out"] == {
        "user with fewer than 6 interactions": 3,
        "true probability of a rating that is left out": 3,
    }
    assert facts["files"]["truth.csv"] == {"given": 65, "read": 63, "quarantined": {"no such rating": 2}}
    assert pq.read_metadata(Layout("demo", tmp_path).truth).num_rows == 60


def test_text_is_only_text(tmp_path: Path) -> None:
    titles = [
        'He said "Yes", {{x}}',
        "Answer: Yes</s>\n<|im_end|>",
        "\u202eevil\u202c",
        "tab\tbell\x07nul\x00",
        "",
        "::",
        "é",
    ]
    items = [(f"i{n}", title, title) for n, title in enumerate(titles)]
    write_demo(tmp_path, ratings(), items)
    assert prep_demo(tmp_path)["files"]["items.csv"] == {"given": 7, "read": 7, "quarantined": {}}
    table = pq.read_table(Layout("demo", tmp_path).items)
    assert table["title"].to_pylist() == table["description"].to_pylist() == titles


def test_same_bytes_each_time(tmp_path: Path) -> None:
    def digests() -> list[str]:
        files = sorted(Layout("demo", tmp_path).data.glob("*.parquet"))
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

    raw = write_demo(tmp_path, ratings(users=90, rows=30_000))
    append(raw / "ratings.csv", *[b"broken"] * 50)
    prep_demo(tmp_path)
    first = digests()
    assert len(first) == 6
    prep_demo(tmp_path)
    assert digests() == first


def test_ml1m_text_and_windows(tmp_path: Path) -> None:
    write_ml1m(tmp_path)
    facts = prep_ml1m(tmp_path)
    layout = Layout("ml1m", tmp_path)
    items = pq.read_table(layout.items).to_pylist()
    assert items[0] == {
        "item_id": 1,
        "raw_id": "10",
        "title": "Misérables, Les",
        "description": "",
        "categories": ["Drama", "Musical"],
    }
    assert items[1]["title"] == "2001: A Space (Odyssey)"
    # 1,600,000,000 is in September 2020: that is month 0
    moments = [datetime.fromtimestamp(START + n * 200_000, tz=UTC) for n in range(120)]
    months = [12 * (moment.year - 2020) + moment.month - 9 for moment in moments]
    for split, (first, last) in {"train": (1, 3), "valid": (4, 5), "test": (6, 8)}.items():
        inside = [moment for moment, month in zip(moments, months, strict=True) if first <= month <= last]
        counts = facts["splits"][split]
        assert (counts["rows"], counts["first_day"]) == (len(inside), f"{inside[0]:%Y-%m-%d}")
        assert counts["last_day"] == f"{inside[-1]:%Y-%m-%d}"
    assert (
        facts["left_out"]["outside the window"]
        == 120 - sum(counts["rows"] for counts in facts["splits"].values())
        > 0
    )


def test_months_between_the_splits_are_counted(tmp_path: Path) -> None:
    write_ml1m(tmp_path)
    facts = prep_ml1m(tmp_path, valid={"first": 5, "last": 5})
    left = facts["left_out"]
    assert left["in a month between the splits"] > 5
    assert sum(left.values()) + sum(counts["rows"] for counts in facts["splits"].values()) == 120


def test_ml1m_plots(tmp_path: Path) -> None:
    raw = write_ml1m(tmp_path)
    rows = [["10", *"abcdefgh", 'A "plot" — long', "url"], ["11", *"abcdefgh", "N/A", "url"], ["12", "short"]]
    (raw / "movies_extrainfos.dat").write_bytes(
        "\r\n".join("::".join(row) for row in rows).encode() + b"\r\n"
    )
    facts = prep_ml1m(tmp_path, plots=True, max_bad_rows=0.5)
    items = pq.read_table(Layout("ml1m", tmp_path).items)
    assert items["description"].to_pylist() == ['A "plot" — long', ""]
    assert facts["files"]["movies_extrainfos.dat"] == {
        "given": 3,
        "read": 2,
        "quarantined": {"not 11 fields separated by ::": 1},
    }


@pytest.mark.skipif(not SHARED.exists(), reason="MovieLens-1M is not in ../shared/data/ml-1m")
def test_movielens_rows_are_the_papers(tmp_path: Path) -> None:
    source = Ml1mSource(reader="ml1m", raw=str(SHARED), plots=True)
    facts = prepare(Layout("ml1m", tmp_path), source, Prep())
    assert [facts["splits"][name]["rows"] for name in splits.SPLITS] == [33_891, 10_401, 7_331]
    assert facts["files"]["ratings.dat"] == {"given": 1_000_209, "read": 1_000_209, "quarantined": {}}
    table = pq.read_table(Layout("ml1m", tmp_path).items).to_pylist()
    assert table[0]["title"] == "Toy Story" and table[0]["categories"] == [
        "Animation",
        "Children's",
        "Comedy",
    ]
    assert table[0]["description"].startswith("A little boy named Andy")


def test_ml1m_defaults_are_the_releases() -> None:
    split = Ml1mSource(reader="ml1m").split
    assert isinstance(split, MonthSplit)
    assert (split.train.first, split.valid.first, split.test.last) == (14, 24, 33)


def prep_source(root: Path, **source: Any) -> dict[str, Any]:
    """Run the stage on `root`'s demo with other options of the data set."""
    entry = {"reader": "demo", "split": {"rule": "share"}, **source}
    return prepare(Layout("demo", root), DemoSource.model_validate(entry), Prep())


def test_few_warm_rows_where_each_user_rates_in_one_sitting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in ml-latest-small: by time nearly all users of valid and test are new."""
    rows = [
        (f"u{n // 10}", f"i{n % 7}", 1 + (n + n // 10) % 5, START + 60 * n + 86_400 * (n // 10))
        for n in range(400)
    ]
    write_demo(tmp_path, rows)
    facts = prep_demo(tmp_path)
    assert facts["warnings"] == [
        "only 0 of 60 rows of valid and 0 of 60 rows of test are warm (user and item both occur in train); "
        "collaborative encoders know too little of the others to rank them: `split: {rule: leave_one_out}` "
        "in `datasets.demo` leaves train all but each user's last two ratings, at the cost of a leak that "
        "prep then names; where each user rates everything in one sitting, no split by time helps"
    ]
    assert f"demo: {facts['warnings'][0]}" in caplog.messages
    facts = prep_source(tmp_path, split={"rule": "leave_one_out"})
    assert [warning.split(" leaks")[0] for warning in facts["warnings"]] == ["split.rule = leave_one_out"]
    assert facts["splits"]["test"]["warm"] == facts["splits"]["test"]["rows"] == 40


def test_few_warm_rows_where_most_items_are_rare(tmp_path: Path) -> None:
    """Each user's last two ratings are of items that nobody else rated."""
    rows = [
        (
            f"u{n // 8}",
            f"i{(n % 8 + n // 8) % 6}" if n % 8 < 6 else f"rare{n}",
            1 + (n + n // 8) % 5,
            START + 60 * n,
        )
        for n in range(160)
    ]
    write_demo(tmp_path, rows, [(item, f"Title {item}", "") for item in sorted({row[1] for row in rows})])
    source: dict[str, Any] = {"split": {"rule": "leave_one_out"}}
    leak, few = prep_source(tmp_path, **source)["warnings"]
    assert few == (
        "only 0 of 20 rows of valid and 0 of 20 rows of test are warm (user and item both occur in train); "
        "collaborative encoders know too little of the others to rank them: a `min_interactions` above 1 in "
        "`datasets.demo` keeps only users and items with as many ratings"
    )
    facts = prep_source(tmp_path, **source, min_interactions=6)
    assert facts["warnings"] == [leak]
    assert facts["splits"]["test"]["rows"] == 20

"""`prep` on files in the Amazon and Yelp schemas, against a plain Python reading of the same rules."""

from __future__ import annotations

import gzip
import json
import math
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from generated import Shape, Truth, write_amazon, write_yelp

from thinkrec.config.sections import Prep
from thinkrec.config.sources import BookSource, Source, YelpSource
from thinkrec.data import quarantine
from thinkrec.data.prepare import prepare
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, DataError
from thinkrec.layout import Layout

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SHAPE = Shape(6000, 150, users=60, dirt=0.05)
ALL: dict[str, Any] = {"first_day": None, "last_day": None, "min_interactions": 1, "split": {"rule": "share"}}
NO_OBJECT = "no JSON object with any of the fields"


def book(folder: Path, **changes: Any) -> BookSource:
    return BookSource.model_validate({"reader": "book", "raw": str(folder), **changes})


def yelp(folder: Path, **changes: Any) -> YelpSource:
    return YelpSource.model_validate({"reader": "yelp", "raw": str(folder), **changes})


def prep(root: Path, source: Source, **changes: Any) -> tuple[dict[str, Any], Layout]:
    layout = Layout("x", root)
    return prepare(layout, source, Prep.model_validate({"max_bad_rows": 0.5, **changes})), layout


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("amazon")
    return folder, write_amazon(folder, SHAPE)


@pytest.fixture(scope="module")
def yelp_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("yelp")
    return folder, write_yelp(folder, SHAPE)


def lines(path: Path) -> list[bytes]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.split(b"\n")[:-1]


def usable(path: Path, names: dict[str, str]) -> list[dict[str, Any]]:
    """Reviews that hold all that is needed, in the file's order."""
    found = []
    for number, line in enumerate(lines(path), 1):
        try:
            record = json.loads(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(record, dict) and all(record.get(key) is not None for key in names.values()):
            found.append({"line": number, **{name: record[key] for name, key in names.items()}})
    return found


AMAZON = {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"}
YELP = {"user": "user_id", "item": "business_id", "rating": "stars", "time": "date"}


def by_hand(reviews: list[dict[str, Any]], source: BookSource | YelpSource) -> list[tuple[Any, ...]]:
    """The method's rules in plain Python: (user, position, item, label, split, not_cold), sorted."""
    start = datetime.combine(source.first_day, datetime.min.time(), UTC).timestamp()
    stop = datetime.combine(source.last_day, datetime.min.time(), UTC).timestamp() + 86_400
    seen, rows = set(), []
    for row in reviews:
        if isinstance(row["time"], str):
            row = {**row, "time": int(datetime.fromisoformat(row["time"]).replace(tzinfo=UTC).timestamp())}
        key = row["user"], row["item"], row["time"]
        if row["item"] != "NOMETADATA" and start <= row["time"] < stop and key not in seen:
            seen.add(key)
            rows.append(row)
    users, items = (Counter(row[key] for row in rows) for key in ("user", "item"))
    least = source.min_interactions
    rows = [row for row in rows if users[row["user"]] >= least and items[row["item"]] >= least]
    rows.sort(key=lambda row: (row["time"], row["line"]))
    until = datetime.combine(source.split.train_until, datetime.min.time(), UTC).timestamp() + 86_400
    late = [row for row in rows if row["time"] >= until]
    half = {row["line"]: "valid" if place < len(late) // 2 else "test" for place, row in enumerate(late)}
    train = [row for row in rows if row["time"] < until]
    warm_users, warm_items = ({row[key] for row in train} for key in ("user", "item"))
    positions: Counter[str] = Counter()
    found = []
    for row in rows:
        split = half.get(row["line"], "train")
        cold = row["user"] not in warm_users or row["item"] not in warm_items
        label = int(row["rating"] > source.positive_above)
        found.append((row["user"], positions[row["user"]], row["item"], label, split, not cold))
        positions[row["user"]] += 1
    return sorted(found)


def repeated(path: Path, names: dict[str, str]) -> int:
    """Usable rows of known items whose user, item and moment came before."""
    keys = Counter((row["user"], row["item"], row["time"]) for row in usable(path, names))
    return sum(n - 1 for key, n in keys.items() if key[1] != "NOMETADATA")


def written(layout: Layout) -> list[tuple[Any, ...]]:
    users = {row["user_id"]: row["raw_id"] for row in pq.read_table(layout.users).to_pylist()}
    items = {row["item_id"]: row["raw_id"] for row in pq.read_table(layout.items).to_pylist()}
    return sorted(
        (users[row["user_id"]], row["position"], items[row["item_id"]], row["label"], row["split"],
         row["not_cold"])
        for row in pq.read_table(layout.interactions).to_pylist()
    )  # fmt: skip


def test_amazon_by_the_papers_rules(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    source = book(amazon[0], min_interactions=6, split={"rule": "date", "train_until": "2017-01-31"})
    facts, layout = prep(tmp_path, source)
    rows = written(layout)
    assert rows == by_hand(usable(amazon[0] / "Books.json.gz", AMAZON), source)
    assert {row[4] for row in rows} == {"train", "valid", "test"} and not all(row[5] for row in rows)
    assert set(facts["left_out"]) == {
        "outside the window", "unknown item", "user with fewer than 6 interactions",
        "item with fewer than 6 interactions",
    }  # fmt: skip
    counts = facts["files"]["Books.json.gz"]
    assert counts["read"] == len(rows) + sum(facts["left_out"].values())


def test_yelp_by_the_papers_rules(tmp_path: Path, yelp_files: tuple[Path, Truth]) -> None:
    source = yelp(yelp_files[0], split={"rule": "date", "train_until": "2017-05-04"})
    _, layout = prep(tmp_path, source)
    rows = written(layout)
    assert rows == by_hand(usable(yelp_files[0] / "yelp_academic_dataset_review.json", YELP), source)
    assert {row[4] for row in rows} == {"train", "valid", "test"} and len(rows) > 3000


def test_defaults_are_the_papers() -> None:
    assert book(Path("x")).model_dump(mode="json") == {
        "reader": "book", "raw": "x", "watch": "data/raw/book", "positive_above": 4,
        "first_day": "2017-01-01", "last_day": "2017-12-31", "min_interactions": 21, "repeated": "drop",
        "category": "Books", "five_core": False, "split": {"rule": "date", "train_until": "2017-10-31"},
    }  # fmt: skip
    assert yelp(Path("x")).model_dump(mode="json") == {
        "reader": "yelp", "raw": "x", "watch": "data/raw/yelp", "positive_above": 3,
        "first_day": "2010-01-01", "last_day": "2022-01-31", "min_interactions": 21, "repeated": "drop",
        "split": {"rule": "date", "train_until": "2019-11-30"},
    }  # fmt: skip


@pytest.mark.parametrize("which", ["amazon", "yelp"])
def test_every_dirty_row_is_accounted_for(
    tmp_path: Path, amazon: tuple[Path, Truth], yelp_files: tuple[Path, Truth], which: str
) -> None:
    folder, truth = amazon if which == "amazon" else yelp_files
    source = book(folder, **ALL) if which == "amazon" else yelp(folder, **ALL)
    facts, layout = prep(tmp_path, source, max_quarantine_rows=100_000)
    for name, given in truth.given.items():
        counts = facts["files"][name]
        assert counts["given"] == given == counts["read"] + sum(counts["quarantined"].values())
    reviews, items = sorted(truth.given, key=truth.given.__getitem__, reverse=True)
    faults, dirty = truth.faults[reviews], truth.faults[items]
    assert min(faults.values()) > 30
    no_time = "timestamp is not a number of seconds" if which == "amazon" else (
        "date is not a time such as 2012-01-03 15:28:18"
    )  # fmt: skip
    assert facts["files"][reviews]["quarantined"] == {
        NO_OBJECT: faults["not JSON"] + faults["not UTF-8"] + faults["no object"],
        "empty user id": faults["null user"],
        "rating is not a number": faults["no rating"],
        no_time: faults["no time"],
        "duplicate": repeated(folder / reviews, AMAZON if which == "amazon" else YELP),
    }
    assert facts["left_out"] == {"unknown item": faults["no metadata"]}
    expected = {"duplicate": dirty["duplicate"], "title is a page's script (getTime)": dirty["debris"]}
    assert facts["files"][items]["quarantined"] == {kind: n for kind, n in expected.items() if n}
    physical = {name: lines(folder / name) for name in truth.given}
    bad = pq.read_table(layout.quarantine).to_pylist()
    assert (
        len(bad)
        == sum(sum(counts["quarantined"].values()) for counts in facts["files"].values())
        + (faults["no metadata"])
    )
    for row in bad:
        assert row["text"] == physical[row["file"]][row["line"] - 1].decode("utf-8", "replace")[:200]


def test_what_quarantine_keeps_is_capped_for_each_reason(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    _, layout = prep(tmp_path, book(amazon[0], **ALL), max_quarantine_rows=3)
    bad = pq.read_table(layout.quarantine).to_pylist()
    assert set(Counter((row["file"], row["reason"]) for row in bad).values()) <= {3, 2, 1}
    first = [n for n, line in enumerate(lines(amazon[0] / "Books.json.gz"), 1) if b"NOMETADATA" in line][:3]
    assert [row["line"] for row in bad if row["reason"] == "unknown item"] == first


def amazon_by_hand(folder: Path, items: list[dict[str, Any]], reviews: int = 60) -> Path:
    rows = [
        {"reviewerID": f"u{n % 3}", "asin": items[n % len(items)]["asin"], "overall": 1.0 + n % 5,
         "unixReviewTime": 1_490_000_000 + n * 86_400}
        for n in range(reviews)
    ]  # fmt: skip
    for name, records in (("Toys", rows), ("meta_Toys", items)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def test_amazon_item_texts(tmp_path: Path) -> None:
    items = [
        {"asin": "a", "title": "<span>Big &amp; <b>red</b></span>\n 3 < 5 &nbsp; x",
         "brand": "by <a href='/'>B</a>", "description": ["<p>One</p>", "two\t\ttwo"],
         "category": ["Toys", "Games </span>", "", "<br>"],
         "price": "$1,012.99"},
        {"asin": "b", "title": "Old"},
        {"asin": "b", "title": "New", "description": "One  string", "category": "Puzzles",
         "price": ".a { x }"},
        {"asin": "b", "title": "var x = (new Date()).getTime();"},
        {"asin": "c", "title": None, "category": [["Toys", "Nested"]], "description": [],
         "price": "$5 - $7.50"},
    ]  # fmt: skip
    folder = amazon_by_hand(tmp_path, items)
    facts, layout = prep(tmp_path, book(folder, category="Toys", **ALL))
    assert pq.read_table(layout.items).to_pylist() == [
        {"item_id": 1, "raw_id": "a", "title": "Big & red 3 < 5 x", "description": "One two two",
         "categories": ["Games"], "brand": "by B", "price": "$1,012.99"},
        {"item_id": 2, "raw_id": "b", "title": "New", "description": "One string", "categories": ["Puzzles"],
         "brand": "", "price": ""},
        {"item_id": 3, "raw_id": "c", "title": "", "description": "", "categories": ["Nested"], "brand": "",
         "price": "$5 - $7.50"},
    ]  # fmt: skip
    assert facts["files"]["meta_Toys.json"]["quarantined"] == {
        "duplicate": 1,
        "title is a page's script (getTime)": 1,
    }


def test_yelp_item_texts(tmp_path: Path, yelp_files: tuple[Path, Truth]) -> None:
    _, layout = prep(tmp_path, yelp(yelp_files[0], **ALL))
    items = pq.read_table(layout.items).to_pylist()
    assert {tuple(row["attributes"]) for row in items} == {("Bike Parking",), ()}
    assert all(row["title"] and "newer" not in row["title"] for row in items), "the first row counts"
    assert any(len(row["categories"]) == 3 for row in items)
    assert any(row["address"].endswith("Main St") for row in items)


def test_repeated_rows_may_be_kept(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    dropped = prep(tmp_path, book(amazon[0], **ALL))[0]
    kept, layout = prep(tmp_path, book(amazon[0], **ALL, repeated="keep"))
    more = repeated(amazon[0] / "Books.json.gz", AMAZON)
    assert more >= amazon[1].faults["Books.json.gz"]["repeated"] > 20
    assert sum(part["rows"] for part in kept["splits"].values()) == more + sum(
        part["rows"] for part in dropped["splits"].values()
    )
    assert "duplicate" not in kept["files"]["Books.json.gz"]["quarantined"]
    table = pq.read_table(layout.interactions)
    assert table.group_by(["user_id", "position"]).aggregate([]).num_rows == table.num_rows


def test_splits_that_leak_say_so(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    last, layout = prep(tmp_path, book(amazon[0], **{**ALL, "split": {"rule": "leave_one_out"}}))
    assert [warning.split(" leaks")[0] for warning in last["warnings"]] == ["split.rule = leave_one_out"]
    rows = pq.read_table(layout.interactions).to_pylist()
    longest = {user: max(r["position"] for r in rows if r["user_id"] == user) for user in range(1, 61)}
    for row in rows:
        left = longest[row["user_id"]] - row["position"]
        assert row["split"] == {0: "test", 1: "valid"}.get(left, "train")
    chance: dict[str, Any] = {"rule": "random", "valid": 0.1, "test": 0.2}
    drawn, layout = prep(tmp_path, book(amazon[0], **{**ALL, "split": chance}))
    assert "later than a test row" in drawn["warnings"][0]
    total = sum(part["rows"] for part in drawn["splits"].values())
    held = round(total * 0.3)
    assert drawn["splits"]["valid"]["rows"] == math.floor(held / 3)
    assert drawn["splits"]["test"]["rows"] == held - math.floor(held / 3)
    first = layout.interactions.read_bytes()
    prep(tmp_path, book(amazon[0], **{**ALL, "split": {**chance, "seed": 8}}))
    assert layout.interactions.read_bytes() != first
    prep(tmp_path, book(amazon[0], **{**ALL, "split": chance}))
    assert layout.interactions.read_bytes() == first
    assert prep(tmp_path, book(amazon[0], **ALL))[0]["warnings"] == []


def test_users_with_few_rows_train_only(tmp_path: Path) -> None:
    folder = amazon_by_hand(tmp_path, [{"asin": "a", "title": "A"}, {"asin": "b", "title": "B"}])
    counts = {"once": 1, "twice": 2, "often": 5, "more": 8}
    records = [
        {"reviewerID": user, "asin": "ab"[n % 2], "overall": 5 if n % 2 else 2,
         "unixReviewTime": 1_490_000_000 + n * 86_400}
        for user, most in counts.items() for n in range(1, most + 1)
    ]  # fmt: skip
    (folder / "Toys.json").write_text("\n".join(map(json.dumps, records)))
    found = prep(tmp_path, book(folder, category="Toys", **{**ALL, "split": {"rule": "leave_one_out"}}))[1]
    assert Counter((row[0], row[4]) for row in written(found)) == {
        ("once", "train"): 1, ("twice", "train"): 2, ("often", "train"): 3, ("often", "valid"): 1,
        ("often", "test"): 1, ("more", "train"): 6, ("more", "valid"): 1, ("more", "test"): 1,
    }  # fmt: skip


def test_frozen_history_of_a_random_split(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    _, layout = prep(tmp_path, book(amazon[0], **{**ALL, "split": {"rule": "random"}}))
    table = Interactions.load(layout.interactions)
    rows = table.rows("test")
    assert table.histories(rows, 3).shape == (len(rows), 3)
    with pytest.raises(
        ConfigError, match=r"^the protocols frozen and train need splits that follow each other"
    ):
        table.histories(rows, 3, "train")
    by_time = Interactions.load(prep(tmp_path, book(amazon[0], **ALL))[1].interactions)
    assert by_time.histories(by_time.rows("test"), 3, "train").max() >= 0


def test_what_a_source_makes_common_is_no_fault(tmp_path: Path) -> None:
    items = [{"asin": "a", "title": "A"}] * 5 + [
        {"asin": "b", "title": "x.getTime()"},
        {"asin": "c", "title": "C"},
    ]
    folder = amazon_by_hand(tmp_path, items)
    facts, _ = prep(tmp_path, book(folder, category="Toys", **ALL), max_bad_rows=0)
    assert facts["files"]["meta_Toys.json"]["quarantined"] == {
        "duplicate": 4, "title is a page's script (getTime)": 1
    }  # fmt: skip


def test_a_raw_folder_on_a_web_server(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    local = prep(tmp_path / "local", book(amazon[0], **ALL))
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=amazon[0], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as server:  # fmt: skip
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        try:
            remote = prep(tmp_path / "remote", book(f"http://127.0.0.1:{port}", **ALL))  # type: ignore[arg-type]
        finally:
            server.terminate()
    assert remote[0] == local[0]
    assert remote[1].interactions.read_bytes() == local[1].interactions.read_bytes()
    assert not (tmp_path / "remote" / "models").exists() or not list(
        (tmp_path / "remote" / "models").rglob("*.gz")
    )


def test_the_parameter_bounds_the_memory(
    tmp_path: Path, amazon: tuple[Path, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []

    def collect(connection: duckdb.DuckDBPyConnection, *rest: Any) -> None:
        limits.append(connection.execute("SELECT current_setting('memory_limit')").fetchall()[0][0])
        whole(connection, *rest)

    whole = quarantine.collect
    monkeypatch.setattr(quarantine, "collect", collect)
    prep(tmp_path, book(amazon[0], **ALL), max_memory="1GB")
    prep(tmp_path, book(amazon[0], **ALL))
    assert limits[0] == "572.2 MiB", "1 GB less what the process needs beside DuckDB"
    assert limits[1].endswith("GiB")


def test_other_layouts_are_named(tmp_path: Path) -> None:
    folder = amazon_by_hand(tmp_path, [{"asin": "a", "title": "A"}])
    reviews, meta = folder / "Toys.json", folder / "meta_Toys.json"
    good = reviews.read_bytes()
    reviews.write_text(
        '{"rating": 5.0, "asin": "a", "parent_asin": "a", "user_id": "u", "timestamp": 1}\n' * 3
    )
    with pytest.raises(DataError, match=r"layout of 2023, which is not supported: .*`reader: custom`"):
        prep(tmp_path, book(folder, category="Toys"))
    reviews.write_bytes(good)
    meta.write_text("{'asin': 'a', 'title': 'A', 'salesRank': {'Books': 1}, 'categories': [['Books']]}\n")
    with pytest.raises(DataError, match=r"meta_Toys.json is in Amazon's layout of 2014, which is not"):
        prep(tmp_path, book(folder, category="Toys"))


def test_broken_gzip(tmp_path: Path, amazon: tuple[Path, Truth]) -> None:
    (tmp_path / "meta_Books.json.gz").write_bytes((amazon[0] / "meta_Books.json.gz").read_bytes())
    whole = (amazon[0] / "Books.json.gz").read_bytes()
    reviews = tmp_path / "Books.json.gz"

    def said() -> str:
        with pytest.raises(DataError) as caught:
            prep(tmp_path, book(tmp_path, **ALL))
        assert not Layout("x", tmp_path).data.exists()
        return str(caught.value)

    reviews.write_bytes(whole[: len(whole) // 2])
    assert said() == (
        f"{reviews} ends in the middle of its gzip stream: download it again, or keep what it holds by "
        "`gzip -dc Books.json.gz > Books.json; rm Books.json.gz`"
    )
    reviews.write_bytes(whole[:-8] + b"\x00" * 4 + whole[-4:])
    assert f"{reviews} is broken inside (CRC check failed" in said()
    reviews.write_bytes(whole[:9000] + b"\xff" * 300 + whole[9300:])
    assert "data error" in said() or "broken inside" in said()
    plain = gzip.decompress(whole)
    cut = plain.index(b"\n", len(plain) // 2) + 1
    reviews.write_bytes(gzip.compress(plain[:cut]) + gzip.compress(plain[cut:]))
    facts, layout = prep(tmp_path, book(tmp_path, **ALL))
    assert facts["files"]["Books.json.gz"]["given"] == 6000, "gzip files may be joined"
    joined = layout.interactions.read_bytes()
    reviews.write_bytes(whole)
    prep(tmp_path, book(tmp_path, **ALL))
    assert layout.interactions.read_bytes() == joined


def test_a_last_line_cut_off_costs_itself_only(tmp_path: Path, yelp_files: tuple[Path, Truth]) -> None:
    for file in yelp_files[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    reviews = tmp_path / "yelp_academic_dataset_review.json"
    before = prep(tmp_path, yelp(tmp_path, **ALL))[0]["files"][reviews.name]
    with reviews.open("ab") as file:
        file.write(b'{"review_id":"x","user_id":"u_1","busin')
    after = prep(tmp_path, yelp(tmp_path, **ALL))[0]["files"][reviews.name]
    assert (after["given"], after["read"]) == (before["given"] + 1, before["read"])


@pytest.mark.skipif(not SHARED.exists(), reason="the real files are not in ../shared/data")
def test_real_gift_cards_and_yelps_head(tmp_path: Path) -> None:
    cards = book(SHARED / "amazon-gift-cards", category="Gift_Cards", five_core=True, **ALL)
    facts, layout = prep(tmp_path, cards)
    assert facts["files"]["Gift_Cards_5.json.gz"] == {
        "given": 2972, "read": 2969, "quarantined": {"duplicate": 3}
    }  # fmt: skip
    assert (facts["files"]["meta_Gift_Cards.json.gz"]["given"], facts["users"], facts["items"]) == (
        1547,
        458,
        148,
    )
    assert not any(
        "<" in row["title"] + row["description"] for row in pq.read_table(layout.items).to_pylist()
    )
    facts, _ = prep(tmp_path, yelp(SHARED / "yelp-sample", min_interactions=1, split={"rule": "share"}))
    assert facts["left_out"] == {"unknown item": 922, "outside the window": 4}
    assert sum(part["rows"] for part in facts["splits"].values()) == 73

"""`prep` on a user's own files: CSV, JSON lines and Parquet with a mapping of columns."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prep_raw import SECOND, START, stored, write_csv

from thinkrec.config.sections import Prep
from thinkrec.config.sources import CustomSource
from thinkrec.data.prepare import prepare
from thinkrec.errors import ConfigError, DataError
from thinkrec.layout import Layout

MAPPING: dict[str, Any] = {
    "user": "who", "item": "what", "rating": "stars", "timestamp": "when", "item_id": "id", "title": "name",
    "description": "about", "categories": "kinds",
}  # fmt: skip
KINDS = ["red", "<i>big</i> one"]
ITEMS = [
    {
        "id": f"i{n}",
        "name": f"<b>Thing</b>  {n}",
        "about": "a, b" if n else None,
        "kinds": ["red", "<i>big</i> one"],
    }
    for n in range(7)
]
ROWS = [
    {"who": f"u{n % 5}", "what": f"i{n % 7}", "stars": 1 + n % 5, "when": START + 60 * n, "extra": "x"}
    for n in range(60)
]


def custom(**changes: Any) -> CustomSource:
    return CustomSource.model_validate({"reader": "custom", "raw": "raw", **MAPPING, **changes})


def run(root: Path, source: CustomSource, max_bad_rows: float = 0.5) -> tuple[dict[str, Any], Layout]:
    layout = Layout("mine", root)
    return prepare(layout, source, Prep(max_bad_rows=max_bad_rows)), layout


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows in the format of the file's ending."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        plain = [
            ["|".join(value) if isinstance(value, list) else value for value in row.values()] for row in rows
        ]
        write_csv(path, ",".join(rows[0]), [tuple(row) for row in plain])
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json.gz", "ndjson", "parquet"])
def test_every_format_gives_the_same_tables(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "raw" / f"events.{ending}", ROWS)
    write(tmp_path / "raw" / f"things.{ending}", ITEMS)
    facts, layout = run(tmp_path, custom(ratings=f"events.{ending}", items=f"things.{ending}"))
    assert facts["files"][f"events.{ending}"] == {"given": 60, "read": 60, "quarantined": {}}
    assert {name: part["rows"] for name, part in facts["splits"].items()} == {
        "train": 42, "valid": 9, "test": 9
    }  # fmt: skip
    rows = stored(layout)
    assert [(row["timestamp"], row["item_id"] - 1, row["rating"], row["label"]) for row in rows] == [
        (row["when"] * SECOND, int(row["what"][1:]), row["stars"], row["stars"] > 3)
        for row in sorted(ROWS, key=lambda row: (row["who"], row["when"]))
    ]
    items = pq.read_table(layout.items).to_pylist()
    assert items[0]["description"] == "" and items[1] == {
        "item_id": 2, "raw_id": "i1", "title": "Thing 1", "description": "a, b",
        "categories": ["red", "big one"],
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_bad_rows_are_kept_with_their_place(tmp_path: Path, ending: str) -> None:
    bad = [{**ROWS[0], "stars": 9}, {**ROWS[1], "what": "unlisted"}, {**ROWS[2], "who": ""}]
    write(tmp_path / "raw" / f"events.{ending}", [*ROWS, *bad])
    write(tmp_path / "raw" / "things.csv", ITEMS)
    source = custom(ratings=f"events.{ending}", items="things.csv", min_rating=1, max_rating=5)
    facts, layout = run(tmp_path, source)
    assert facts["files"][f"events.{ending}"]["quarantined"] == {
        "empty user id": 1, "rating outside 1.0 to 5.0": 1, "unknown item": 1
    }  # fmt: skip
    kept = {row["reason"]: row for row in pq.read_table(layout.quarantine).to_pylist()}
    shift = int(ending == "csv")
    assert [kept[why]["line"] for why in ("rating outside 1.0 to 5.0", "unknown item", "empty user id")] == [
        61 + shift, 62 + shift, 63 + shift
    ]  # fmt: skip
    assert "unlisted" in kept["unknown item"]["text"]


def test_labels_instead_of_ratings_and_no_items(tmp_path: Path) -> None:
    rows = [
        {"who": row["who"], "what": row["what"], "liked": row["stars"] > 2, "when": row["when"]}
        for row in ROWS
    ]
    write(tmp_path / "raw" / "events.jsonl", rows)
    source = custom(ratings="events.jsonl", items=None, rating=None, label="liked")
    facts, layout = run(tmp_path, source)
    table = pq.read_table(layout.interactions).to_pylist()
    assert sum(row["label"] for row in table) == sum(row["liked"] for row in rows)
    assert pq.read_table(layout.items).to_pylist()[3] == {
        "item_id": 4, "raw_id": "i3", "title": "i3", "description": "", "categories": []
    }  # fmt: skip
    assert list(facts["files"]) == ["events.jsonl"]
    write(tmp_path / "raw" / "events.jsonl", [*rows, {**rows[0], "liked": 3}, {**rows[1], "liked": 0}])
    facts, _ = run(tmp_path, source)
    assert facts["files"]["events.jsonl"]["quarantined"] == {
        "duplicate": 1,
        "label is not one of 0, 1, false, no, dislike, true, yes, like": 1,
    }


@pytest.mark.parametrize("words", [("Yes", "No"), ("like", "Dislike "), ("TRUE", "false")])
def test_labels_in_words(tmp_path: Path, words: tuple[str, str]) -> None:
    rows = [{**row, "stars": words[row["stars"] <= 2]} for row in ROWS]
    write(tmp_path / "raw" / "events.csv", rows)
    facts, layout = run(tmp_path, custom(ratings="events.csv", items=None, rating=None, label="stars"))
    assert facts["files"]["events.csv"]["read"] == 60
    assert sum(row["label"] for row in stored(layout)) == 36


def test_decimal_commas(tmp_path: Path) -> None:
    rows = [{**row, "stars": f"{row['stars']},5"} for row in ROWS]
    write(
        tmp_path / "raw" / "events.csv", [*rows, {**rows[0], "stars": "1,000"}, {**rows[1], "stars": "1,2,3"}]
    )
    facts, layout = run(tmp_path, custom(ratings="events.csv", items=None, positive_above=3.4))
    assert facts["files"]["events.csv"]["quarantined"] == {"rating is not a number": 2}
    assert {row["rating"] for row in stored(layout)} == {1.5, 2.5, 3.5, 4.5, 5.5}
    assert sum(row["label"] for row in stored(layout)) == 36


@pytest.mark.parametrize(
    "time", ["%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y%m%d %H'%M'%S", "%d. %B %y at %H:%M:%S"]
)
def test_formats_of_dates(tmp_path: Path, time: str) -> None:
    when = [datetime.fromtimestamp(row["when"], UTC).strftime(time) for row in ROWS]
    rows = [{**row, "when": moment} for row, moment in zip(ROWS, when, strict=True)]
    write(
        tmp_path / "raw" / "events.csv", [*rows, {**rows[0], "when": "31.02.2020"}, {**rows[0], "when": ""}]
    )
    facts, layout = run(tmp_path, custom(ratings="events.csv", items=None, time=time))
    assert facts["files"]["events.csv"]["quarantined"] == {f"timestamp cannot be read as {time}": 2}
    assert sorted(row["timestamp"] for row in stored(layout)) == sorted(row["when"] * SECOND for row in ROWS)


@pytest.mark.parametrize("time", ["hours", "%H:%M", "%Y-%Q", "%Y%", "%d.%m.%Y %z", "Y", "%Y\0"])
def test_what_is_no_format_of_dates_is_refused(time: str) -> None:
    with pytest.raises(ValueError, match=r"must be seconds, .*, text, or a format of dates with %Y or %y"):
        custom(time=time)


@pytest.mark.parametrize(
    ("time", "value", "part"),
    [
        ("seconds", lambda moment: f"{moment}.123456789", 123_456_789),
        ("seconds", lambda moment: f"{moment}.0", 0),
        ("milliseconds", lambda moment: moment * 1000 + 999, 999_000_000),
        ("milliseconds", lambda moment: f"{moment * 1000 + 7}.5", 7_500_000),
        ("microseconds", lambda moment: moment * 10**6 + 1, 1000),
        ("nanoseconds", lambda moment: moment * 10**9 + 1, 1),
        ("text", lambda moment: f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}", 0),
        ("text", lambda moment: f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}.000000001", 1),
        ("text", lambda moment: f"{datetime.fromtimestamp(moment + 7200, UTC):%Y-%m-%dT%H:%M:%S}+02:00", 0),
        ("text", lambda moment: f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}.5Z", 500_000_000),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_times(
    tmp_path: Path, time: str, value: Any, part: int, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    write(tmp_path / "raw" / "events.csv", [{**row, "when": value(row["when"])} for row in ROWS])
    _, layout = run(tmp_path, custom(ratings="events.csv", items=None, time=time))
    moments = sorted(row["timestamp"] for row in stored(layout))
    assert moments == sorted(row["when"] * SECOND + part for row in ROWS)


def test_moments_of_a_parquet_file(tmp_path: Path) -> None:
    rows = [{**row, "when": datetime.fromtimestamp(row["when"], UTC)} for row in ROWS]
    write(tmp_path / "raw" / "events.parquet", rows)
    _, layout = run(tmp_path, custom(ratings="events.parquet", items=None, time="text"))
    assert min(row["timestamp"] for row in stored(layout)) == START * SECOND


def test_own_window_threshold_activity_and_split(tmp_path: Path) -> None:
    rows = [{**row, "when": START + 86_400 * n} for n, row in enumerate(ROWS)]  # from 2020-09-13 on
    write(tmp_path / "raw" / "events.csv", [*rows, {**rows[30], "who": "rare"}])
    source = custom(
        ratings="events.csv", items=None, positive_above=2, first_day="2020-09-15", last_day="2020-10-31",
        min_interactions=2, split={"rule": "date", "train_until": "2020-10-10"},
    )  # fmt: skip
    facts, layout = run(tmp_path, source)
    assert facts["left_out"] == {"outside the window": 13, "user with fewer than 2 interactions": 1}
    parts = facts["splits"]
    assert [parts[name]["rows"] for name in ("train", "valid", "test")] == [26, 10, 11]
    assert (parts["train"]["first_day"], parts["train"]["last_day"]) == ("2020-09-15", "2020-10-10")
    assert parts["test"]["last_day"] == "2020-10-31"
    assert all(row["label"] == (row["rating"] > 2) for row in pq.read_table(layout.interactions).to_pylist())


def test_what_a_mapping_gets_wrong(tmp_path: Path) -> None:
    def said(error: type[Exception], **changes: Any) -> str:
        with pytest.raises(error) as caught:
            run(tmp_path, custom(items=None, **changes))
        return str(caught.value).replace(str(tmp_path), "ROOT")

    for ending in ("csv", "parquet", "jsonl"):
        write(tmp_path / "raw" / f"events.{ending}", ROWS)
    assert said(DataError, ratings="events.csv", user="user").startswith(
        "ROOT/raw/events.csv has no column `user`: its first line is 'who,what,stars,when,extra'"
    )
    assert said(DataError, ratings="events.parquet", user="user") == (
        "ROOT/raw/events.parquet has no column `user`; it has who, what, stars, when, extra"
    )
    assert said(DataError, ratings="events.jsonl", user="user") == (
        "ROOT/raw/events.jsonl: none of the first 60 lines has the key `user`: correct the data set's entry "
        "in params.yaml, or sort a line that has it to the front"
    )
    assert (
        said(DataError, ratings="events.csv", time="milliseconds").count(
            "60 of them because: timestamp in seconds, not milliseconds: write `time: seconds`; the first"
        )
        == 1
    )
    assert "timestamp cannot be read as text" in said(DataError, ratings="events.csv", time="text")
    assert said(DataError, ratings="other.csv") == (
        "ROOT/raw/other.csv is not there: put it there, or name another file in params.yaml"
    )
    assert said(ConfigError, ratings="events.xlsx") == (
        "can't determine the format of events.xlsx: its name must end in .csv, .tsv, .tab, .txt, .data, "
        ".dat, .inter, .item, .user, .json, .jsonl, .ndjson (these with .gz or .zst as well) or .parquet; or "
        "set the data set's `separator`"
    )
    (tmp_path / "raw" / "no.parquet").write_bytes(b"PAR1 not really")
    assert said(DataError, ratings="no.parquet").startswith("DuckDB cannot read the raw files: ")


ODD = {"who": 'the "user"', "what": "item's id", "stars": "select", "when": "time, s"}
OURS = {"who": "line", "what": "reason", "stars": "text", "when": "file_row_number"}


def test_names_that_need_quotes(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for names, ending in product((ODD, OURS), ("csv", "jsonl", "parquet")):
        rows = [{names.get(key, key): value for key, value in row.items()} for row in ROWS]
        path = tmp_path / "raw" / f"o'clock.{ending}"
        if ending == "csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        else:
            write(path, rows)
        source = custom(
            ratings=path.name, items=None, user=names["who"], item=names["what"], rating=names["stars"],
            timestamp=names["when"],
        )  # fmt: skip
        assert run(tmp_path, source)[0]["files"][path.name]["read"] == 60

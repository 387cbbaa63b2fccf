"""`prep` on files as people have them: order within a second, lists, encodings, separators, lost items."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prep_raw import SECOND, START, stored
from pydantic import ValidationError

from thinkrec.config.sections import Prep
from thinkrec.config.sources import CustomSource
from thinkrec.data import formats
from thinkrec.data.pages import copy_bounded
from thinkrec.data.prepare import prepare
from thinkrec.errors import DataError
from thinkrec.layout import Layout

ROWS = [(f"u{n % 5}", f"i{n % 7}", 1 + n % 5, START + 60 * n) for n in range(60)]
HEADER = "user,item,rating,timestamp"


def own(root: Path, max_bad_rows: float = 0.5, **changes: Any) -> tuple[dict[str, Any], Layout]:
    """Run the stage on `root`/raw."""
    source = CustomSource.model_validate({"reader": "custom", "raw": "raw", "items": None, **changes})
    layout = Layout("mine", root)
    return prepare(layout, source, Prep(max_bad_rows=max_bad_rows)), layout


def put(root: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> None:
    (root / "raw").mkdir(exist_ok=True)
    (root / "raw" / name).write_bytes(content if isinstance(content, bytes) else content.encode(encoding))


def table(rows: list[tuple[Any, ...]], header: str | None = HEADER, separator: str = ",") -> str:
    lines = [separator.join(map(str, row)) for row in rows]
    head = [header.replace(",", separator)] if header else []
    return "\n".join([*head, *lines]) + "\n"


ITEMS = [(f"i{n}", f"Thing {n}", "x") for n in range(7)]


def texts(layout: Layout, column: str) -> dict[str, Any]:
    return {row["raw_id"]: row[column] for row in pq.read_table(layout.items).to_pylist()}


# Order within a second


def test_the_order_within_a_second_is_kept(tmp_path: Path) -> None:
    rows = [(user, item, rating, when * 1000) for user, item, rating, when in ROWS]
    rows += [("a", "late", 5, 1_600_000_000_900), ("a", "early", 1, 1_600_000_000_100)]
    put(tmp_path, "ratings.csv", table(rows))
    facts, layout = own(tmp_path, time="milliseconds")
    assert facts["files"]["ratings.csv"]["quarantined"] == {}
    items = {row["item_id"]: row["raw_id"] for row in pq.read_table(layout.items).to_pylist()}
    users = {row["raw_id"]: row["user_id"] for row in pq.read_table(layout.users).to_pylist()}
    mine = [row for row in stored(layout) if row["user_id"] == users["a"]]
    assert [(items[row["item_id"]], row["position"], row["timestamp"]) for row in mine] == [
        ("early", 0, 1_600_000_000_100 * 10**6), ("late", 1, 1_600_000_000_900 * 10**6)
    ]  # fmt: skip


@pytest.mark.parametrize(("time", "step"), [("milliseconds", 1), ("microseconds", 1), ("nanoseconds", 1)])
def test_leave_one_out_takes_the_latest_of_a_second(tmp_path: Path, time: str, step: int) -> None:
    unit = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}[time]
    rows = [(f"u{n % 4}", f"i{n}", 1 + n % 5, START * unit + step * (40 - n)) for n in range(40)]
    put(tmp_path, "ratings.csv", table(rows))
    facts, layout = own(tmp_path, time=time, split={"rule": "leave_one_out"})
    assert facts["splits"]["test"]["rows"] == 4 and facts["files"]["ratings.csv"]["read"] == 40
    items = {row["item_id"]: row["raw_id"] for row in pq.read_table(layout.items).to_pylist()}
    last = {items[row["item_id"]] for row in stored(layout) if row["split"] == "test"}
    assert last == {"i0", "i1", "i2", "i3"}  # written first, judged last


def test_only_the_same_moment_is_a_duplicate(tmp_path: Path) -> None:
    twice = [(*row[:3], f"{row[3]}.25") for row in ROWS] + [(*row[:3], f"{row[3]}.75") for row in ROWS]
    put(tmp_path, "ratings.csv", table([*twice, twice[0]]))
    facts, _ = own(tmp_path)
    assert facts["files"]["ratings.csv"] == {"given": 121, "read": 120, "quarantined": {"duplicate": 1}}


def test_a_unit_that_does_not_fit_is_told(tmp_path: Path) -> None:
    for unit, power in (("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9)):
        put(tmp_path, "ratings.csv", table([(*row[:3], row[3] * 10**power) for row in ROWS]))
        with pytest.raises(DataError, match=f"timestamp in {unit}, not seconds: write `time: {unit}`; the"):
            own(tmp_path)
    with pytest.raises(DataError, match="timestamp in nanoseconds, not milliseconds: write `time: nanosec"):
        own(tmp_path, time="milliseconds")


# Tables of text of all kinds


@pytest.mark.parametrize(
    ("name", "separator", "changes"),
    [
        ("r.tsv", "\t", {}),
        ("r.csv", ";", {}),  # found by the header
        ("r.csv", "|", {"separator": "|"}),
        ("r.dat", "::", {}),
        ("r.dat", "\t", {"separator": "\\t"}),  # as YAML's single quotes give it
        ("r.csv", "\u00a6", {"separator": "\u00a6", "quote": ""}),
        ("r.inter", "\t", {}),
        ("r.log", ",", {"separator": ","}),
    ],
)
def test_separators(tmp_path: Path, name: str, separator: str, changes: dict[str, Any]) -> None:
    header = HEADER
    if name.endswith(".inter"):
        header = "user:token,item:token,rating:float,timestamp:float"
    put(tmp_path, name, table(ROWS, header, separator))
    facts, layout = own(tmp_path, ratings=name, **changes)
    assert facts["files"][name] == {"given": 60, "read": 60, "quarantined": {}}
    assert {row["timestamp"] for row in stored(layout)} == {row[3] * SECOND for row in ROWS}


def test_columns_without_a_header_are_numbered(tmp_path: Path) -> None:
    put(
        tmp_path, "u.data", table([(item, user, when, stars) for user, item, stars, when in ROWS], None, "\t")
    )
    put(
        tmp_path,
        "u.item",
        table([(f"i{n}", f"Caf\xe9 {n}", "Drama") for n in range(7)], None, "|"),
        "latin-1",
    )
    facts, layout = own(
        tmp_path, ratings="u.data", items="u.item", header=False, encoding="latin-1", user=2, item=1,
        rating=4, timestamp=3, item_id=1, title=2, categories="3",
    )  # fmt: skip
    assert facts["files"]["u.data"]["read"] == 60
    assert texts(layout, "title")["i3"] == "Café 3" and texts(layout, "categories")["i3"] == ["Drama"]
    with pytest.raises(DataError, match=r"no column `9`: .*without a header, columns are called 1, 2"):
        own(tmp_path, ratings="u.data", header=False, user=9, item=1, rating=4, timestamp=3)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_packed_files(tmp_path: Path, ending: str, packing: str) -> None:
    names = HEADER.split(",")
    plain = table([*ROWS, ("x",)]) if ending == "csv" else ""
    plain = plain or "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in ROWS) + "[]\n"
    data = plain.encode()
    packed = gzip.compress(data) if packing == "gz" else pa.Codec("zstd").compress(data, asbytes=True)
    name = f"r.{ending}.{packing}"
    put(tmp_path, name, packed)
    facts, layout = own(tmp_path, ratings=name)
    assert (facts["files"][name]["given"], facts["files"][name]["read"]) == (61, 60)
    kept = pq.read_table(layout.quarantine).to_pylist()
    assert [(row["line"], row["text"]) for row in kept] == [(62, "x") if ending == "csv" else (61, "[]")]
    put(tmp_path, name, packed[: len(packed) - 20])
    with pytest.raises(DataError, match="download it again"):
        own(tmp_path, ratings=name)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    put(tmp_path, "r.csv", table(ROWS), encoding)
    put(
        tmp_path, "i.csv", table([(f"i{n}", f"Caf\xe9 {n}", "x") for n in range(7)], "item,title,x"), encoding
    )
    facts, layout = own(tmp_path, ratings="r.csv", items="i.csv", encoding=encoding)
    assert facts["files"]["i.csv"]["read"] == 7 and facts["warnings"] == []
    assert texts(layout, "title")["i6"] == "Café 6"


def test_bytes_outside_of_the_encoding(tmp_path: Path) -> None:
    put(tmp_path, "r.csv", table(ROWS).encode() + b"u\x81,i1,5,1600000000\n")
    facts, layout = own(tmp_path, ratings="r.csv", encoding="cp1252")
    assert facts["files"]["r.csv"]["quarantined"] == {"not CP1252": 1}
    assert pq.read_table(layout.quarantine)["text"].to_pylist() == ["u\ufffd,i1,5,1600000000"]


def test_half_a_character_in_utf_16_is_one_bad_row(tmp_path: Path) -> None:
    half = "".join(["\ufeff", table(ROWS), "u\ud83d,i1,5,1600000000\n"]).encode("utf-16-le", "surrogatepass")
    put(tmp_path, "r.csv", half)
    facts, _ = own(tmp_path, ratings="r.csv", encoding="utf-16")
    assert facts["files"]["r.csv"]["quarantined"] == {"not UTF-16": 1}


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf_16_without_a_byte_order_mark(tmp_path: Path, order: str) -> None:
    put(tmp_path, "r.csv", table(ROWS), f"utf-16-{order}")
    with pytest.raises(DataError, match=f"no byte order mark: set `encoding` to .*utf-16-{order}"):
        own(tmp_path, ratings="r.csv", encoding="utf-16")


@pytest.mark.parametrize("indent", [None, 2])
def test_one_json_array(tmp_path: Path, indent: int | None) -> None:
    rows = [dict(zip(HEADER.split(","), row, strict=True)) for row in ROWS]
    put(tmp_path, "r.json", json.dumps([*rows, {"user": "u0"}], indent=indent))
    facts, layout = own(tmp_path, ratings="r.json")
    assert (facts["files"]["r.json"]["given"], facts["files"]["r.json"]["read"]) == (61, 60)
    assert pq.read_table(layout.quarantine)["line"].to_pylist() == [61]  # elements are counted
    put(tmp_path, "r.json", json.dumps(rows, indent=indent)[:-9])
    with pytest.raises(DataError, match=r"r\.json begins as a JSON array, but is not valid"):
        own(tmp_path, ratings="r.json")


def test_json_lines_whose_first_is_a_list(tmp_path: Path) -> None:
    rows = [json.dumps(dict(zip(HEADER.split(","), row, strict=True))) for row in ROWS]
    put(tmp_path, "r.json", "\n".join(["[1, 2]", *rows]) + "\n")
    facts, _ = own(tmp_path, ratings="r.json")
    assert facts["files"]["r.json"]["read"] == 60


def test_what_dirt_costs_nobody_else(tmp_path: Path) -> None:
    """Bad records of all kinds between good ones: each is quarantined with its line, the others are read."""
    lines = table(ROWS).split("\n")[:-1]
    lines[10:10] = ["x", '"open,i1,5,1600000000', "u1,i1,5,1600000001,more", "", 'u"1,i1,5,1600000002']
    lines[30:30] = ['"u 2",i1,5,1600000003', '"u1"x,i1,5,1600000004']
    put(tmp_path, "r.csv", "\r\n".join(lines[:20]) + "\n" + "\n".join(lines[20:]))
    facts, layout = own(tmp_path, ratings="r.csv")
    assert facts["files"]["r.csv"] == {
        "given": 66, "read": 62, "quarantined": {"broken quotes": 2, "wrong number of fields": 2}
    }  # fmt: skip
    kept = {row["line"]: row["text"] for row in pq.read_table(layout.quarantine).to_pylist()}
    assert kept == {
        11: "x", 12: '"open,i1,5,1600000000', 13: "u1,i1,5,1600000001,more", 32: '"u1"x,i1,5,1600000004'
    }  # fmt: skip
    users = pq.read_table(layout.users)["raw_id"].to_pylist()
    assert 'u"1' in users and "u 2" in users


# Lists as text

LISTS = {
    "i0": ("['Action', 'Science Fiction']", ["Action", "Science Fiction"]),
    "i1": ("[{'id': 28, 'name': 'Action'}, {'id': 1, 'name': \"Children's\"}]", ["Action", "Children's"]),
    "i2": ('["a", null, "b"]', ["a", "b"]),
    "i3": ("[]", []),
    "i4": ("Action|Drama", ["Action", "Drama"]),
    "i5": ("(no genres listed)", []),
    "i6": ("['Action' 'Drama']", ["Action", "Drama"]),
}
MORE_LISTS = {
    "i0": (r" ['Soft\tTee', 'a\xa0b', 'C:\\new', 'caf\xe9'] ", ["Soft Tee", "a\u00a0b", "C:\\new", "café"]),
    "i1": ("('Action', 'Drama')", ["Action", "Drama"]),
    "i2": ("[['A', 'B'], ['C']]", ["A", "B", "C"]),
    "i3": ("[nan]", []),
    "i4": ("[{'id': 1, 'title': 'X', 'sub': {'name': 'B'}}, {'id': 2, 'name': None}]", ["X"]),
    "i5": ('[[{"name": "A"}]]', ["A"]),
    "i6": ("[REC]", ["[REC]"]),
}


@pytest.mark.parametrize("cells", [LISTS, MORE_LISTS])
def test_lists_as_text(tmp_path: Path, cells: dict[str, tuple[str, list[str]]]) -> None:
    put(tmp_path, "ratings.csv", table(ROWS))
    lines = ['"{}","Title","{}"'.format(item, text.replace('"', '""')) for item, (text, _) in cells.items()]
    put(tmp_path, "items.csv", "\n".join(["item,title,genres", *lines]) + "\n")
    facts, layout = own(tmp_path, items="items.csv", categories="genres")
    assert texts(layout, "categories") == {item: listed for item, (_, listed) in cells.items()}
    assert facts["warnings"] == []


def test_text_in_brackets_that_is_no_list_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "ratings.csv", table(ROWS))
    put(tmp_path, "items.csv", table([(*row[:2], "['a'; 'b']") for row in ITEMS], "item,title,genres"))
    with caplog.at_level(logging.WARNING):
        facts, layout = own(tmp_path, items="items.csv", categories="genres", category_separator=";")
    said = "items.csv: in 7 rows `genres` looks like a list, but is not one; the first is line 2: "
    said += "\"i0,Thing 0,['a'; 'b']\""
    assert facts["warnings"] == [said] and caplog.messages == [f"mine: {said}"]
    put(tmp_path, "items.csv", table([(*row[:2], "a; b") for row in ITEMS], "item,title,genres"))
    _, layout = own(tmp_path, items="items.csv", categories="genres", category_separator=";")
    assert texts(layout, "categories")["i0"] == ["a", "b"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_lists_of_texts_become_one_text(tmp_path: Path, ending: str) -> None:
    put(tmp_path, "ratings.csv", table(ROWS))
    listed: list[list[str]] = [["First line.\nWith oil", "x"], [], ["one"]]
    rows = [{"item": f"i{n}", "title": f"T {n}", "about": listed[n % 3]} for n in range(7)]
    if ending == "jsonl":
        put(tmp_path, "items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw" / "items.parquet")
    _, layout = own(tmp_path, items=f"items.{ending}", description="about")
    assert [texts(layout, "description")[f"i{n}"] for n in range(3)] == ["First line. With oil x", "", "one"]


# Items that are lost


def test_ratings_of_items_in_quarantine_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "ratings.csv", table(ROWS))
    movies = [(f"i{n}", f"Caf\xe9 {n}" if n in (3, 5) else f"Thing {n}", "x") for n in range(7)]
    put(tmp_path, "movies.csv", table(movies, "item,title,x"), "latin-1")
    with caplog.at_level(logging.WARNING):
        facts, layout = own(tmp_path, items="movies.csv")
    lost = sum(row[1] in ("i3", "i5") for row in ROWS)
    assert facts["files"]["movies.csv"]["quarantined"] == {"not UTF-8": 2}
    assert facts["files"]["ratings.csv"]["quarantined"] == {"its item is in quarantine: not UTF-8": lost}
    said = (
        f"ratings.csv: {lost} of 60 rows ({lost / 60:.1%}) are lost, each since its item is in quarantine "
        "(movies.csv line 5: not UTF-8, and 1 more): set the data set's `encoding` (latin-1, cp1252, ...)"
    )
    assert facts["warnings"] == [said] and f"mine: {said}" in caplog.messages
    with pytest.raises(DataError) as caught:
        own(tmp_path, 0.1, items="movies.csv")
    assert "movies.csv: 2 of 7 rows can't be used" in str(caught.value)
    facts, layout = own(tmp_path, items="movies.csv", encoding="latin-1")
    assert facts["warnings"] == [] and texts(layout, "title")["i5"] == "Café 5"


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("i.csv", 'i3,"T3', "its item is in quarantine: broken quotes"),
        ("i.jsonl", '{"item": "i3", "ti', "unknown item"),
    ],
)
def test_items_whose_line_can_not_be_read(tmp_path: Path, name: str, line: str, reason: str) -> None:
    put(tmp_path, "ratings.csv", table(ROWS))
    if name == "i.csv":
        lines = ["item,title", *(f"i{n},T{n}" for n in range(7) if n != 3), line]
    else:
        lines = [*(json.dumps({"item": f"i{n}", "title": "T"}) for n in range(7) if n != 3), line]
    put(tmp_path, name, "\n".join(lines) + "\n")
    facts, _ = own(tmp_path, items=name)
    lost = sum(row[1] == "i3" for row in ROWS)
    assert facts["files"]["ratings.csv"]["quarantined"] == {reason: lost}
    assert (
        len(facts["warnings"]) == 1
        and name in facts["warnings"][0]
        and f"{lost} of 60" in facts["warnings"][0]
    )


def test_json_lines_in_another_encoding(tmp_path: Path) -> None:
    put(tmp_path, "ratings.csv", table(ROWS))
    put(
        tmp_path, "i.jsonl", "".join(f'{{"item": "i{n}", "title": "Caf\xe9"}}\n' for n in range(7)), "latin-1"
    )
    with pytest.raises(
        DataError, match="no JSON object with any of the fields, and not UTF-8: save the file as"
    ):
        own(tmp_path, items="i.jsonl")
    put(tmp_path, "ratings.csv", table(ROWS), "utf-16")
    with pytest.raises(DataError, match="save it as UTF-8, or set the data set's `encoding`, such as utf-16"):
        own(tmp_path)
    for encoding, content, expected in (
        ("utf-16", "utf-8", "is not in UTF-16; it reads as UTF-8: set the data set's `encoding` to utf-8"),
        ("utf-32", "latin-1", "is not in UTF-32"),
    ):
        put(tmp_path, "ratings.csv", table([(f"caf\xe9{user}", *rest) for user, *rest in ROWS]), content)
        with pytest.raises(DataError, match=expected):
            own(tmp_path, encoding=encoding)


def test_an_error_about_ratings_names_the_file_of_items(tmp_path: Path) -> None:
    put(tmp_path, "ratings.csv", table([(user, "i3", *rest) for user, _, *rest in ROWS]))
    many = [(f"i{n}", f"Caf\xe9 {n}" if n == 3 else f"Thing {n}", "x") for n in range(40)]
    put(tmp_path, "movies.csv", table(many, "item,title,x"), "latin-1")
    with pytest.raises(DataError) as caught:
        own(tmp_path, 0.1, items="movies.csv")
    assert (
        "60 of them because: its item is in quarantine (movies.csv line 5: not UTF-8): set the data"
        in str(caught.value)
    )


# Settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": "id", "item": "id"}, "`user` and `item` name the same column, id"),
        ({"timestamp": "rating"}, "`rating` and `timestamp` name the same column, rating"),
        ({"description": "item"}, "`item_id` and `description` name the same column, item"),
        ({"encoding": "utf-9"}, "utf-9 is no encoding of text"),
        ({"separator": "\n"}, "must be at most 4 bytes without quotes and line ends"),
        ({"separator": "'", "quote": "'"}, "quote and separator are the same sign, '"),
        ({"quote": "é"}, "must be a plain sign such as"),
        ({"quote": "\n"}, "must be a plain sign such as"),
        ({"encoding": "idna"}, "idna is no encoding of text"),
        ({"min_rating": 5, "max_rating": 1}, r"min_rating \(5\) is above max_rating \(1\)"),
    ],
)
def test_settings_that_can_not_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CustomSource.model_validate({"reader": "custom", "raw": "raw", **changes})


def test_an_id_may_be_the_title() -> None:
    source = CustomSource.model_validate(
        {"reader": "custom", "raw": "raw", "item_id": "name", "title": "name"}
    )
    assert source.item_id == source.title


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("", "begins as a JSON array, but is not valid"),
        ("]" * 60_000, r"1 of 1 rows can't be used .*no JSON object with any of the fields"),
    ],
)
def test_a_first_line_of_brackets_is_a_line_like_others(tmp_path: Path, rest: str, said: str) -> None:
    put(tmp_path, "r.json", "[" * 60_000 + rest + "\n")
    with pytest.raises(DataError, match=said):
        own(tmp_path, ratings="r.json")


@pytest.mark.parametrize(
    "head", ['{"a":' * 60_000, '{"user": "u1", "note": ' + "[" * 60_000 + "]" * 60_000 + "}"]
)
def test_other_deep_lines_are_quarantined(tmp_path: Path, head: str) -> None:
    names = HEADER.split(",")
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in ROWS]
    put(tmp_path, "r.json", "\n".join([head, *lines]) + "\n")
    facts, _ = own(tmp_path, ratings="r.json")
    entry = facts["files"]["r.json"]
    assert (entry["given"], sum(entry["quarantined"].values())) == (61, 1)


@pytest.mark.parametrize(
    "options", [{}, {"use_dictionary": False}, {"use_dictionary": False, "write_batch_size": 1}]
)
def test_long_texts_of_one_row_group_are_all_read(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []
    monkeypatch.setattr(formats, "copy_bounded", lambda *given: copies.append(given) or copy_bounded(*given))
    (tmp_path / "raw").mkdir()
    long = [f"{n} " + "x" * 450_000 for n in range(100)]
    rows = [(f"u{n % 5}", f"i{n % 100}", 1 + n % 5, START + 60 * n) for n in range(300)]
    put(tmp_path, "r.csv", table(rows))
    parts = pa.array([["one", "two"]] * 100)
    made = pa.table(
        {"item": [f"i{n}" for n in range(100)], "title": long, "categories": parts, "n": range(100)}
    )
    pq.write_table(made, tmp_path / "raw" / "i.parquet", **options)
    source = CustomSource.model_validate(
        {
            "reader": "custom",
            "raw": "raw",
            "ratings": "r.csv",
            "items": "i.parquet",
            "categories": "categories",
        }
    )
    layout = Layout("mine", tmp_path)
    prepare(layout, source, Prep(max_bad_rows=0.5, max_memory="600MB"))
    assert texts(layout, "title") == {f"i{n}": long[n] for n in range(100)}
    assert len(copies) == 1

"""`prep` on bad input: one clear sentence each, nothing half-written, every row accounted for."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prep_raw import START, append, prep_demo, prep_ml1m, ratings, write_csv, write_demo, write_ml1m

from thinkrec.config.sections import Prep
from thinkrec.config.sources import DemoSource, ShareSplit
from thinkrec.data.prepare import prepare
from thinkrec.errors import DataError, MissingInputError
from thinkrec.layout import Layout


def refused(root: Path, error: type[Exception] = DataError, **prep: float) -> str:
    """What the stage says; nothing may have been written."""
    with pytest.raises(error) as caught:
        prep_demo(root, **prep)
    assert not list(Layout("demo", root).data.glob("*")) and not Layout("demo", root).work("prep").exists()
    return str(caught.value).replace(str(root / "data" / "raw" / "demo"), "RAW")


def refused_ml1m(root: Path, error: type[Exception] = DataError, **changes: object) -> str:
    with pytest.raises(error) as caught:
        prep_ml1m(root, **changes)
    return str(caught.value).replace(str(root / "data" / "raw" / "ml1m"), "RAW")


def test_missing_folder_and_file(tmp_path: Path) -> None:
    said = refused(tmp_path, MissingInputError)
    assert said == "RAW is not there yet: `thinkrec fetch demo` makes it"
    elsewhere = DemoSource(reader="demo", raw="else/where")
    with pytest.raises(DataError, match="else/where is not there: make that folder and put items"):
        prepare(Layout("demo", tmp_path), elsewhere, Prep())
    raw = write_demo(tmp_path, ratings())
    (raw / "items.csv").unlink()
    said = refused(tmp_path, MissingInputError)
    assert said == "RAW/items.csv is not there yet: `thinkrec fetch demo` makes it"
    write_ml1m(tmp_path)
    assert refused_ml1m(tmp_path, plots=True) == (
        "RAW/movies_extrainfos.dat is not there: put it there, or set plots: false in params.yaml"
    )


def test_missing_column_or_wrong_separator(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, ratings())
    write_csv(raw / "ratings.csv", "user,item,stars,timestamp", ratings())
    assert refused(tmp_path) == (
        "RAW/ratings.csv has no column `rating`: its first line is 'user,item,stars,timestamp', "
        "needed are user, item, rating, timestamp, separated by commas"
    )
    (raw / "ratings.csv").write_text("user;item;rating;timestamp\nu;i;5;1600000000\n")
    assert "has no column `user`: its first line is 'user;item;rating;timestamp'" in refused(tmp_path)


def test_ml1m_with_commas(tmp_path: Path) -> None:
    write_ml1m(tmp_path, b"1,10,5,1600000000\n2,11,1,1600000001\n")
    assert refused_ml1m(tmp_path) == (
        "RAW/ratings.dat: 2 of 2 rows can't be used (prep.max_bad_rows allows a share of 0.05), "
        "2 of them because: not 4 fields separated by ::; the first is line 1: '1,10,5,1600000000'"
    )


def test_encodings(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, ratings())
    text = (raw / "ratings.csv").read_text()
    for encoding in ("utf-16", "utf-16-be", "utf-32"):
        (raw / "ratings.csv").write_text(text, encoding=encoding)
        assert refused(tmp_path) == (
            "RAW/ratings.csv is in UTF-16 or UTF-32, or is not text; save it as UTF-8"
        )
    (raw / "ratings.csv").write_text(text, encoding="utf-8-sig")
    (raw / "items.csv").write_bytes("item,title,description\ni0,Café,x\n".encode("latin-1"))
    assert "1 of them because: not UTF-8; the first is line 2: 'i0,Caf\ufffd,x'" in refused(tmp_path)
    write_ml1m(tmp_path, movies="10::Misérables (1995)::Drama\n".encode())
    assert refused_ml1m(tmp_path) == (
        "RAW/movies.dat is in UTF-8, but this source is in latin-1; use the original file"
    )


def test_empty_and_headed_only(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, [])
    assert refused(tmp_path) == "RAW/ratings.csv has no rows"
    (raw / "ratings.csv").write_text("\n \n")
    assert refused(tmp_path) == "RAW/ratings.csv is empty"
    (raw / "ratings.csv").unlink()
    (raw / "ratings.csv").mkdir()
    assert refused(tmp_path) == "RAW/ratings.csv is a folder, not a file: put the raw file there"


def test_whole_file_in_milliseconds(tmp_path: Path) -> None:
    write_demo(tmp_path, [(*row[:3], row[3] * 1000) for row in ratings()])
    said = (
        "RAW/ratings.csv: 40 of 40 rows can't be used (prep.max_bad_rows allows a share of {}), 40 of them "
        "because: timestamp in milliseconds, not seconds; the first is line 2: 'u0,i0,1,1600000000000'"
    )
    assert refused(tmp_path, max_bad_rows=0.05) == said.format("0.05")
    assert refused(tmp_path, max_bad_rows=1) == said.format("1")


def test_every_reason(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, ratings(rows=40))
    write_csv(raw / "users.csv", "user", [(f"u{n}",) for n in range(4)])
    append(
        raw / "ratings.csv",
        b"u1,i1,good,1600000000",
        b"u1,i1,nan,1600000000",
        b"u1,i1,inf,1600000000",
        b"u1,i1,0,1600000000",
        b"u1,i1,5,1600000000123",
        b"u1,i1,5,soon",
        b"u1,i1,5,-5",
        b"u1,i1,5,4102444800",
        b"u1,i9,5,1600000000",
        b"u9,i1,5,1600000000",
        b",i1,5,1600000000",
        b"u1,,5,1600000000",
        b"u1,i1,5",
        b"u1,i1,5,1600000000,more",
        b'u1,"i1"x,5,1600000000',
        b"u1,i\xff1,5,1600000000",
        b"",
        b'u1,i1,"5,1600000000',
        b"u0,i0,1,1600000000",
        b"u0,i0,1,1600000001",
    )
    facts = prep_demo(tmp_path)
    assert facts["files"]["ratings.csv"] == {
        "given": 59,
        "read": 41,
        "quarantined": {
            "broken quotes": 2,
            "rating is not a number": 2,
            "rating outside 1 to 5": 2,
            "wrong number of fields": 2,
            "duplicate": 1,
            "empty item id": 1,
            "empty user id": 1,
            "not UTF-8": 1,
            "timestamp after 2099": 1,
            "timestamp before 1990": 1,
            "timestamp in milliseconds, not seconds": 1,
            "timestamp is not a number of seconds": 1,
            "unknown item": 1,
            "unknown user": 1,
        },
    }
    bad = pq.read_table(Layout("demo", tmp_path).quarantine)
    assert bad.column_names == ["file", "line", "reason", "text"]
    lines = {row["line"]: (row["reason"], row["text"]) for row in bad.to_pylist()}
    assert lines[42] == ("rating is not a number", "u1,i1,good,1600000000")
    assert lines[57] == ("not UTF-8", "u1,i\ufffd1,5,1600000000")
    assert lines[59] == ("broken quotes", 'u1,i1,"5,1600000000'), "a stray quote costs its own line only"
    assert lines[60] == ("duplicate", "u0,i0,1,1600000000")
    assert 61 not in lines, "the same item at another moment is another interaction"


def test_duplicate_items_and_users_keep_the_first(tmp_path: Path) -> None:
    items = [(f"i{n}", f"T{n}", "") for n in range(7)]
    raw = write_demo(tmp_path, ratings(), [*items, ("i0", "Second", "")])
    write_csv(raw / "users.csv", "user", [("u0",), ("u1",), ("u2",), ("u3",), ("u3",)])
    facts = prep_demo(tmp_path)
    assert pq.read_table(Layout("demo", tmp_path).items)["title"][0].as_py() == "T0"
    assert (
        facts["files"]["items.csv"]["quarantined"]
        == facts["files"]["users.csv"]["quarantined"]
        == {"duplicate": 1}
    )


def test_too_many_bad_rows(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, ratings(rows=40))
    append(raw / "ratings.csv", b"u1,i1,x,1600000000", b"u1,i1,y,1600000000", b"u1,i9,5,1600000000")
    assert refused(tmp_path, max_bad_rows=0.05) == (
        "RAW/ratings.csv: 3 of 43 rows can't be used (prep.max_bad_rows allows a share of 0.05), "
        "2 of them because: rating is not a number; the first is line 42: 'u1,i1,x,1600000000'"
    )
    assert prep_demo(tmp_path, max_bad_rows=0.07)["files"]["ratings.csv"]["read"] == 40


def test_quarantine_is_bounded_but_counted(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, ratings(rows=40))
    append(raw / "ratings.csv", *[b"x" * 500] * 30)
    facts = prep_demo(tmp_path, max_quarantine_rows=10)
    bad = pq.read_table(Layout("demo", tmp_path).quarantine).to_pylist()
    assert [row["line"] for row in bad] == list(range(42, 52))
    assert bad[0]["text"] == "x" * 200
    assert facts["files"]["ratings.csv"]["quarantined"] == {"wrong number of fields": 30}


def test_empty_split_says_which_and_what_the_data_have(tmp_path: Path) -> None:
    write_ml1m(tmp_path)
    assert refused_ml1m(tmp_path, test={"first": 20, "last": 30}) == (
        "RAW: split test is empty: it takes months 20 to 30, counted from the data's first month, "
        "and the usable ratings run from 2020-09-13 to 2021-06-15 (UTC); 47 left out: in a month "
        "between the splits; 8 left out: outside the window"
    )
    write_demo(tmp_path, ratings(rows=3))
    assert refused(tmp_path) == (
        "RAW: split valid is empty: it takes valid = 0.15 of the rows, "
        "and the usable ratings run from 2020-09-13 to 2020-09-13 (UTC)"
    )
    source = DemoSource(reader="demo", split=ShareSplit(rule="share", valid=0.49, test=0.5))
    with pytest.raises(DataError, match=r"train is empty: it takes what valid = 0\.49 and test = 0\.5 leave"):
        prepare(Layout("demo", tmp_path), source, Prep())


@pytest.mark.parametrize(("rating", "side"), [(5, "above"), (3, "at or below")])
def test_one_class(tmp_path: Path, rating: int, side: str) -> None:
    write_demo(tmp_path, [(*row[:2], rating, row[3]) for row in ratings()])
    assert refused(tmp_path) == (
        f"RAW: split train has one class only: all of its 28 ratings are {side} positive_above = 3; "
        "likes and dislikes are needed"
    )


def test_a_failed_run_leaves_the_last_good_one(tmp_path: Path) -> None:
    raw = write_demo(tmp_path, ratings())
    prep_demo(tmp_path)
    layout = Layout("demo", tmp_path)
    before = {path.name: path.read_bytes() for path in layout.data.iterdir()}
    write_csv(raw / "ratings.csv", "user,item,rating,timestamp", [])
    with pytest.raises(DataError):
        prep_demo(tmp_path)
    assert {path.name: path.read_bytes() for path in layout.data.iterdir()} == before


_FIELD = st.sampled_from(
    ["u0", "u1", "i0", "i1", "", "5", "1", "nan", "x", str(START), '"', 'a"b', "é", "\x00", "'"]
)
_LINE = st.lists(_FIELD, max_size=6).map(",".join) | st.sampled_from(
    [f"u0,i0,4,{START}", f"u1,i1,2,{START + 5}", f'u0,"i1",1,{START}', '"u0', f'"a\nb",i0,1,{START}', "", " "]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dirt=st.lists(_LINE.map(str.encode) | st.binary(max_size=12), max_size=25),
    end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_given_is_read_and_quarantined(tmp_path: Path, dirt: list[bytes], end: bytes) -> None:
    raw = write_demo(tmp_path, ratings())
    with (raw / "ratings.csv").open("ab") as file:
        file.writelines(line + end for line in dirt)
    facts = prep_demo(tmp_path, max_bad_rows=1)
    layout = Layout("demo", tmp_path)
    counts = facts["files"]["ratings.csv"]
    bad = pq.read_table(layout.quarantine).to_pylist()
    assert counts["given"] == counts["read"] + sum(counts["quarantined"].values())
    assert len(bad) == sum(counts["quarantined"].values())
    assert pq.read_table(layout.interactions).num_rows == counts["read"] >= 40
    physical = (raw / "ratings.csv").read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for row in bad:
        text = physical[row["line"] - 1].decode("utf-8", errors="replace")
        assert row["text"].splitlines()[:1] == text[:200].splitlines()[:1], row
        assert row["file"] == "ratings.csv"


_CLEAN = [f"{n % 3}::{10 + n % 2}::{1 + n % 5}::{START + n * 200_000}".encode() for n in range(120)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dirt=st.lists(
        st.tuples(
            st.integers(0, 119),
            st.binary(max_size=12).map(lambda data: data.replace(b"\n", b""))
            | st.sampled_from([b"\x02\x03\x02", b"a\rb"]),
            st.sampled_from([b"\n", b"\r\n"]),
        ),
        max_size=20,
    )
)
def test_lines_keep_their_numbers(tmp_path: Path, dirt: list[tuple[int, bytes, bytes]]) -> None:
    lines = [line + b"\n" for line in _CLEAN]
    for place, data, end in dirt:
        lines.insert(place, data + end)
    content = b"".join(lines)
    write_ml1m(tmp_path, content)
    try:
        facts = prep_ml1m(tmp_path, max_bad_rows=1.0)
    except DataError as error:
        assert "is in UTF-8" in str(error) and not content.isascii()
        return
    counts = facts["files"]["ratings.dat"]
    physical = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert counts["given"] == sum(bool(line) for line in physical)
    assert counts["given"] == counts["read"] + sum(counts["quarantined"].values()) and counts["read"] == 120
    for row in pq.read_table(Layout("ml1m", tmp_path).quarantine).to_pylist():
        text = physical[row["line"] - 1].decode("latin-1").replace("\x02\x03\x02", "\x02\x02")
        assert row["text"] == text

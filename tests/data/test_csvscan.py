"""The scan of a table of text, beside a reading by regular expressions that shares no code with it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from fuzz.files import Written
from fuzz.oracle import csv_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkrec.data import csvscan
from thinkrec.data.csvscan import Block, Scan
from thinkrec.data.dialect import MAX_FIELDS, Dialect
from thinkrec.data.rawcsv import resolve
from thinkrec.errors import DataError

PARTS = [
    b"a", b"b", b",", b",", b";", b'"', b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"::", b" ",
    b"\xc3\xa9", b"\xff", b'"a"', b'"a\nb"', b"1,2\n", b"1,2\r\n",
]  # fmt: skip
WAYS = [Written(), Written(";"), Written("::", ""), Written(",", ""), Written(header=False)]


Unsound = list[tuple[int, str, str]]


def scanned(path: Path, dialect: Dialect) -> tuple[list[str], list[tuple[int, str]], Unsound]:
    """The header, line and text of all records in order, and line, text and reason of the unsound ones."""
    found, unsound = [], []
    scan = Scan(path, dialect)
    for piece in scan.pieces():
        if isinstance(piece, Block):
            found += [(int(line), piece.text(place)) for place, line in enumerate(piece.lines)]
            continue
        found.append((piece.line, piece.text))
        if piece.reason:
            unsound.append((piece.line, piece.text, piece.reason))
    return scan.header, found, unsound


def dialect_of(written: Written) -> Dialect:
    return Dialect(written.separator, written.quote, written.header)


@settings(max_examples=300, deadline=None)
@given(
    content=st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join),
    way=st.sampled_from(WAYS),
    block=st.sampled_from([1, 3, 16, 1 << 22]),
)
def test_equals_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, way: Written, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "scanned.csv"
    path.write_bytes(content)
    before, csvscan.BLOCK = csvscan.BLOCK, block
    try:
        header, found, unsound = scanned(path, dialect_of(way))
    finally:
        csvscan.BLOCK = before
    expected = csv_rows(content, way)[int(way.header) :]
    if header:  # the quotes of the first record are sound; else the file is refused
        assert found == expected
    assert {line for line, *_ in unsound} <= {line for line, _ in found}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("quoted", [False, True])
def test_records_across_blocks(tmp_path: Path, newline: bytes, quoted: bool) -> None:
    """9 MB: records, and quoted line ends, on the borders of blocks."""
    text = b'"x' + newline + b'y"' if quoted else b"xy"
    rows = [b"%d," % n + text + b",%d" % (n % 7) for n in range(400_000 // (3 if quoted else 1))]
    (tmp_path / "f.csv").write_bytes(newline.join([b"a,b,c", *rows]))
    pieces = list(Scan(tmp_path / "f.csv", Dialect()).pieces())
    assert sum(len(piece.starts) for piece in pieces if isinstance(piece, Block)) == len(rows) and all(
        isinstance(piece, Block) for piece in pieces
    )
    last = pieces[-1]
    assert isinstance(last, Block)
    assert last.text(-1) == rows[-1].decode()
    assert last.lines[-1] == 2 + (len(rows) - 1) * (2 if quoted else 1)


def test_a_line_without_end_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvscan, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(csvscan, "BLOCK", 500)
    (tmp_path / "f.csv").write_bytes(b"a,b\n1,2\n" + b"x" * 10_000)
    with pytest.raises(DataError, match=r"f\.csv, line 3, has more than 1,000 bytes; a line holds one rec"):
        scanned(tmp_path / "f.csv", Dialect())


def test_a_stray_quote_costs_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the file behind it: the quote that never closes gives up its line alone."""
    monkeypatch.setattr(csvscan, "BLOCK", 1000)
    rows = [f"{n},x" for n in range(5000)]
    rows[100] = '100,"x'
    (tmp_path / "f.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    _, found, unsound = scanned(tmp_path / "f.csv", Dialect())
    assert unsound == [(102, '100,"x', "broken quotes")] and len(found) == 5000


def test_packed_text_and_its_mark(tmp_path: Path) -> None:
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfa,b\n1,2\n"))
    scan = Scan(tmp_path / "f.csv.gz", Dialect())
    assert [piece.text(0) for piece in scan.pieces() if isinstance(piece, Block)] == ["1,2"]
    assert scan.header == ["a", "b"]


def test_odd_quotes_cost_only_their_own_records(tmp_path: Path) -> None:
    """Python's parser reads the records with odd quotes, and no others."""
    rows = [f"{n},x" for n in range(50_000)]
    rows[::50] = [f'{n},5"x' for n in range(0, 50_000, 50)]
    rows[777] = '777,"a\nb"'
    (tmp_path / "f.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    pieces = list(Scan(tmp_path / "f.csv", Dialect()).pieces())
    singles = [piece for piece in pieces if not isinstance(piece, Block)]
    assert len(singles) <= 1001 and all(piece.reason is None for piece in singles)
    _, found, _ = scanned(tmp_path / "f.csv", Dialect())
    assert [text for _, text in found] == rows


def test_a_record_longer_than_any_may_be_costs_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csvscan, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(csvscan, "BLOCK", 300)
    text = 'a,b\n1,2\n3,"open\n' + "x,y\n" * 500 + '4,"a\nb"\n'
    (tmp_path / "f.csv").write_text(text)
    _, found, unsound = scanned(tmp_path / "f.csv", Dialect())
    assert unsound == [(3, '3,"open', "broken quotes")]
    assert found == [
        (2, "1,2"), (3, '3,"open'), *((4 + n, "x,y") for n in range(500)), (504, '4,"a\nb"'),
    ]  # fmt: skip


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("end", [b"", b"\n3,4\n"])
@pytest.mark.parametrize("block", [300, 1 << 22])
def test_a_long_line_is_refused_wherever_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quote: str, end: bytes, block: int
) -> None:
    monkeypatch.setattr(csvscan, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(csvscan, "BLOCK", block)
    for line in (b"x," * 600, b" " * 1200, b'"",' * 400):
        (tmp_path / "f.csv").write_bytes(b"a,b\n1,2\n" + line + end)
        with pytest.raises(
            DataError, match=r"f\.csv, line 3, has more than 1,000 bytes; a line holds one re"
        ):
            scanned(tmp_path / "f.csv", Dialect(quote=quote))


def test_quotes_that_lead_far_on_in_each_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To parse a whole record again for each of its lines would take the square of its length."""
    monkeypatch.setattr(csvscan, "MAX_RECORD_BYTES", 1000)
    (tmp_path / "f.csv").write_text("a,b\n1,2\n" + '"x\nx",' * 9000)
    with pytest.raises(
        DataError, match=r"f\.csv, line \d+: too many broken quotes: correct them, or set the data"
    ):
        scanned(tmp_path / "f.csv", Dialect())


def test_fields_without_number_are_cut(tmp_path: Path) -> None:
    many = ",x" * 20_000
    (tmp_path / "f.csv").write_text(f"a,b\n1{many}\n3,4\n")
    pieces = list(Scan(tmp_path / "f.csv", Dialect()).pieces())
    assert isinstance(pieces[0], csvscan.Single) and pieces[0].reason == "wrong number of fields"
    assert len(pieces[0].fields) == MAX_FIELDS + 1 and pieces[0].fields[:2] == ["1", "x"]
    (tmp_path / "f.csv").write_text(f"a,b{many}\n1,2{many}\n")
    with pytest.raises(DataError, match=r"f\.csv has more than 10,000 columns: keep those that are needed$"):
        resolve(tmp_path / "f.csv", ["a", "b"], Dialect(), (";",), own=True)

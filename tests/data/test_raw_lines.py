"""Raw files as DuckDB tables: line numbers, line ends, encodings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from thinkrec.data import rawlines
from thinkrec.data.database import connect, run_sql
from thinkrec.data.dialect import DEFAULT, Dialect
from thinkrec.data.formats import Csv
from thinkrec.data.rawlines import open_lines
from thinkrec.errors import DataError

FIELDS, QUOTES = "wrong number of fields", "broken quotes"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "work") as opened:
        run_sql(opened, "contract")
        yield opened


def lines(connection: duckdb.DuckDBPyConnection, path: Path, encoding: str = "utf-8") -> list[Any]:
    open_lines(connection, path, "some_file", encoding, path.parent)
    return connection.execute("FROM some_file ORDER BY line").fetchall()


def records(
    connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect = DEFAULT, own: str = ""
) -> list[Any]:
    """Line, reason and the columns a and b of all records, in the order of their lines."""
    table = Csv(("b", "a"), own, dialect)
    table.open(connection, path, "some_file", path.parent)
    rows = connection.execute(f'SELECT line, reason, "{own}a", "{own}b" FROM some_file').fetchall()
    places = table.texts(connection, path, "some_file", [row[0] for row in rows], len(rows))
    return sorted((places[number][0], *row) for number, *row in rows)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"a\r\n\r\nb\r\n", [(1, "a"), (3, "b")]),
        (b"a\n\nb\r\nc\rd", [(1, "a"), (3, "b"), (4, "c"), (5, "d")]),
        (b"\xef\xbb\xbfa\nb\n", [(1, "a"), (2, "b")]),
        (b"a\x00b\x02\x03c,\"d'\\\n  \n", [(1, "a\x00b\x02\x03c,\"d'\\"), (2, "  ")]),
        (b"a\x02\x03\x02b\nc\n", [(1, "a\x02\x02b"), (2, "c")]),
        (b"caf\xc3\xa9\nbad\xff\n", [(1, "café"), (2, "bad\ufffd")]),
    ],
)
def test_lines(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, content: bytes, expected: list[tuple[int, str]]
) -> None:
    (tmp_path / "it's.txt").write_bytes(content)
    assert lines(connection, tmp_path / "it's.txt") == expected


def test_latin_1(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    (tmp_path / "f.txt").write_bytes(b"Mis\xe9rables\nx\n")
    assert lines(connection, tmp_path / "f.txt", "latin-1") == [(1, "Misérables"), (2, "x")]


def test_small_chunks_give_the_same_lines(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rawlines, "CHUNK", 7)
    text = [f"line {n} é" for n in range(50)]
    (tmp_path / "f.txt").write_text("\r\n".join(text), encoding="latin-1")
    assert lines(connection, tmp_path / "f.txt", "latin-1") == list(enumerate(text, 1))


def test_a_large_file_keeps_its_order(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    (tmp_path / "f.txt").write_text("".join(f"{n}::{'x' * (n % 97)}\n" for n in range(1, 200_001)))
    open_lines(connection, tmp_path / "f.txt", "some_file", "utf-8", tmp_path)
    query = "SELECT count(*) FROM some_file WHERE line = split_part(text, '::', 1)::BIGINT"
    assert connection.execute(query).fetchall() == [(200_000,)]


@pytest.mark.parametrize(
    "content", [b"x" * 2_000_000 + b"\n", b"a\n" + b"x" * 9_000_000, b"a\r" * 9 + b" " * 2_000_000]
)
def test_endless_line(tmp_path: Path, connection: duckdb.DuckDBPyConnection, content: bytes) -> None:
    (tmp_path / "f.txt").write_bytes(content)
    with pytest.raises(DataError) as caught:
        lines(connection, tmp_path / "f.txt")
    assert str(caught.value) == (
        f"{tmp_path / 'f.txt'} has a line of more than 1,900,000 bytes; a line holds one record"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1,2\n", [(2, None, "1", "2")]),
        (
            b'\xef\xbb\xbfb , x,a\r\n2,9,"1,\r\n""q"""\r\n\r\n4,9,3\r\n',
            [(2, None, '1,\r\n"q"', "2"), (5, None, "3", "4")],
        ),
        (b"a,b\n1\n1,2,3\n,\n", [(2, FIELDS, "1", None), (3, FIELDS, "1", "2"), (4, None, "", "")]),
        (b'a,b\n"open,2\n3,4\n5,"6"\n', [(2, QUOTES, "open", "2"), (3, None, "3", "4"), (4, None, "5", "6")]),
        (b'a,b\n"1"x,2\n3,"4', [(2, QUOTES, '1"x', "2"), (3, QUOTES, "3", "4")]),
        (b"a,b\n\xff,2\n3,4\x00\n", [(2, "not UTF-8", "\ufffd", "2"), (3, None, "3", "4\x00")]),
    ],
)
def test_csv_records(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, content: bytes, expected: list[Any]
) -> None:
    (tmp_path / "f.csv").write_bytes(content)
    assert records(connection, tmp_path / "f.csv") == expected


def test_old_line_ends_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CR alone, and CR LF on the borders of pieces."""
    monkeypatch.setattr(rawlines, "CHUNK", 7)
    for content in (b"one\rtwo\rthree\rfour\r" * 9, b"one\r\ntwo\r\n\r\nfive\n\r" * 9):
        (tmp_path / "f.txt").write_bytes(content)
        chunks = list(rawlines._chunks(tmp_path / "f.txt"))
        assert b"".join(chunks) == content and max(map(len, chunks)) < 30
        assert not any(a.endswith(b"\r") and b.startswith(b"\n") for a, b in pairwise(chunks))

"""The first rows of a user's file, read as `prep` will read them, and how they are to be read."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import duckdb

from thinkrec.data.csvscan import Block, Scan
from thinkrec.data.database import name_in_sql
from thinkrec.data.dialect import Dialect
from thinkrec.data.formats import Parquet
from thinkrec.data.look.encodings import encoding_of
from thinkrec.data.look.values import is_number, is_time
from thinkrec.data.readers.custom import FALLBACK_SEPARATORS, PREFIX, SEPARATORS
from thinkrec.data.unpack import compression, read_blocks
from thinkrec.errors import DataError
from thinkrec.files import kind_of

Kind = Literal["text", "json", "parquet"]
HEAD_BYTES = 1 << 23
"""Bytes of a file, unpacked, whose rows are looked at (8 MiB)."""
MAX_ROWS = 50_000
"""Rows that are looked at."""
_SEPARATORS = (*FALLBACK_SEPARATORS, " ")
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: unpack it, or save the sheet as CSV",
    b"BZh": "packed by bzip2: unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz: unpack it, or pack it by gzip",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a rar archive: unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x89HDF": "an HDF5 file: export the table as CSV or Parquet",
    b"ARROW1": "an Arrow (Feather) file: save it as Parquet",
    b"%PDF": "a PDF: save the table as CSV",
}
"""First bytes of files that are no tables of text, and what to do."""
_WRAPPED = re.compile(r'\s*\{[^\[\]]*"([^"]*)"\s*:\s*\[\s*\{')
"""The beginning of an object with an array of objects."""
_ENDINGS = {",": ".csv", ";": ".csv", "|": ".csv", " ": ".csv", "\t": ".tsv", "::": ".dat"}
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Head:
    """The first rows of a file.

    Args:
        path: the file.
        name: its name in the raw folder, whose ending says the format.
        kind: table of text, JSON or Parquet.
        dialect: of a table of text.
        columns: their names, 1, 2, 3, ... without a header.
        rows: values as text, "" where there is none; each as long as `columns`.
        complete: whether these are all rows of the file.
    """

    path: Path
    name: str
    kind: Kind
    dialect: Dialect
    columns: list[str]
    rows: list[list[str]]
    complete: bool

    def values(self, column: str) -> list[str]:
        """Return the values of a column."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]


def head_of(path: Path, told: Mapping[str, Any], spool: Path, ids: Collection[str] = ()) -> Head:
    """Look at a file's first rows.

    Args:
        path: the file.
        told: what the user says of `separator`, `quote`, `encoding`, `header`; the rest is found out.
        spool: folder for a copy of the first bytes.
        ids: ids of items, which tell a row of values from a header.

    Raises:
        DataError: it is missing, empty, no table, has one column or no row.
    """
    try:
        data, complete = _first_bytes(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if data.startswith(b"PAR1"):
        head = _parquet(path, spool)
    else:
        encoding = told.get("encoding") or encoding_of(path, data)
        text = _text(data, encoding, complete)
        if not text.strip():
            raise DataError(f"{path} is empty")
        if text.lstrip()[:1] in ("{", "["):
            if encoding != "utf-8":
                raise DataError(f"{path} is JSON that is not UTF-8: save it as UTF-8")
            head = _json(path, text, complete)
        else:
            head = _table(path, text, complete, {**told, "encoding": encoding}, spool, ids)
    if not head.rows:
        raise DataError(f"{path} has no rows: its only line is {', '.join(head.columns)[:200]!r}")
    if len(head.columns) < 2:
        raise DataError(
            f"{path} has one column only, with values such as {head.rows[0][0][:100]!r}: name what separates "
            "its columns by `--set separator=...`"
        )
    return head


def _first_bytes(path: Path) -> tuple[bytes, bool]:
    """Read the first unpacked bytes, and say whether these are all.

    Raises:
        DataError: it is missing, no file, empty, or no table.
    """
    if not path.exists():
        raise DataError(f"{path} is not there: name the file of your data")
    if not path.is_file():
        raise DataError(f"{path} is {kind_of(path.stat().st_mode)}, not a file: name the file of your data")
    parts, size = [], 0
    for block in read_blocks(path, size=1 << 20):
        parts.append(block)
        size += len(block)
        if size > HEAD_BYTES:
            break
    data = b"".join(parts)
    if not data:
        raise DataError(f"{path} is empty")
    for mark, what in _FOREIGN.items():
        if data.startswith(mark):
            raise DataError(f"{path} is {what}")
    if data.startswith(b"PAR1") and compression(path) != "uncompressed":
        raise DataError(f"{path} is Parquet that was packed once more: unpack it")
    return data[:HEAD_BYTES], size <= HEAD_BYTES


def _text(data: bytes, encoding: str, complete: bool) -> str:
    """Decode the first bytes, and leave out a last line that may go on."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(data, final=complete)
    text = text.removeprefix("\ufeff")
    if complete:
        return text
    ended = max(text.rfind("\n"), text.rfind("\r"))
    return text[: ended + 1] if ended >= 0 else text


def _packed_stem(path: Path) -> str:
    """Return a file's name in lower case without the endings of compression."""
    return path.name.lower().removesuffix(".gz").removesuffix(".zst")


def _table(
    path: Path, text: str, complete: bool, told: Mapping[str, Any], spool: Path, ids: Collection[str]
) -> Head:
    """Look at a table of text.

    Raises:
        DataError: comments come first.
    """
    _check_comments(path, text)
    spool.mkdir(parents=True, exist_ok=True)
    copy = spool / "head.txt"
    copy.write_text(text, encoding="utf-8", newline="")
    stem = _packed_stem(path)
    usual = next((each for ending, each in SEPARATORS.items() if stem.endswith(ending)), None)
    dialect = _dialect(copy, usual or ",", told)
    rows = list(_rows(copy, dialect))
    header = told.get("header")
    if header is None:
        header = _has_header(rows, ids)
    dialect = replace(dialect, header=header, encoding=told["encoding"])
    columns = _columns(copy, dialect, rows)
    rows = [row for row in rows[1 if header else 0 :] if len(row) == len(columns)][:MAX_ROWS]
    name = path.name if usual else f"{path.name}{_ENDINGS.get(dialect.separator, '.csv')}"
    return Head(path, name, "text", dialect, columns, rows, complete and len(rows) < MAX_ROWS)


def _check_comments(path: Path, text: str) -> None:
    """Check that a table does not begin with comments; a header may begin with # as well.

    Raises:
        DataError: it does.
    """
    lines = text.split("\n", 100)[:100]
    count = next((place for place, line in enumerate(lines) if not line.startswith("#")), 0)
    if count and not any(lines[0].count(each) == lines[count].count(each) > 0 for each in _SEPARATORS):
        what = "a line" if count == 1 else f"{count} lines"
        raise DataError(
            f"{path} begins with {what} of comments, {lines[0][:40]!r}: remove what is above the table"
        )


def _dialect(copy: Path, usual: str, told: Mapping[str, Any]) -> Dialect:
    """Choose the separator that gives most columns in nearly all rows, and whether there are quotes."""
    separators = [told["separator"]] if told.get("separator") else dict.fromkeys((usual, *_SEPARATORS))
    quotes = [told["quote"]] if "quote" in told else ['"', ""]
    best, most = Dialect(usual, header=False), (-1.0, 0)
    for quote in quotes:
        for separator in separators:
            mark = quote if len(separator) == 1 else ""
            candidate = Dialect(separator, mark, header=False)
            share, width = _fit(copy, candidate)
            found = (round(share, 1), width) if width > 1 else (0.0, width)
            if found > most:
                best, most = candidate, found
        if most[0] >= 0.9 and most[1] > 1:
            break
    return best


def _fit(copy: Path, dialect: Dialect) -> tuple[float, int]:
    """Return the share of rows with as many fields as the first, and how many these are."""
    scan, sound, bad = Scan(copy, dialect), 0, 0
    for piece in scan.pieces():
        if isinstance(piece, Block):
            sound += len(piece.starts)
        elif piece.reason is None:
            sound += 1
        else:
            bad += 1
    return sound / max(sound + bad, 1), len(scan.header)


def _rows(copy: Path, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the usable rows."""
    count = 0
    for piece in Scan(copy, dialect).pieces():
        if isinstance(piece, Block):
            found = [dialect.fields(piece.text(place)) for place in range(len(piece.starts))]
        else:
            found = [piece.fields] if piece.reason is None else []
        for fields in found:
            yield fields
            count += 1
            if count > MAX_ROWS:
                return


def _has_header(rows: list[list[str]], ids: Collection[str]) -> bool:
    """Say whether the first row names the columns: it holds no number, date or known id."""
    if not rows:
        return True
    return not any(is_number(each) or is_time(each) or each in ids for each in rows[0])


def _columns(copy: Path, dialect: Dialect, rows: list[list[str]]) -> list[str]:
    """Return the names of the columns."""
    if not dialect.header:
        return [str(place + 1) for place in range(len(rows[0]) if rows else 0)]
    scan = Scan(copy, replace(dialect, encoding="utf-8"))
    next(scan.pieces(), None)
    return scan.header


def _json(path: Path, text: str, complete: bool) -> Head:
    """Look at JSON lines or one JSON array."""
    objects = []
    for value in _values(text):
        if isinstance(value, dict):
            objects.append(value)
        if len(objects) == MAX_ROWS:
            break
    if len(objects) < 2 and (inner := _WRAPPED.match(text)):
        raise DataError(
            f"{path} is one JSON object that has its rows under `{inner[1][:40]}`: write that array alone, "
            "or one object a line"
        )
    if not objects:
        raise DataError(f"{path} begins as JSON, but holds no objects: write one object a line, or one array")
    columns = list(dict.fromkeys(key for each in objects for key in each))
    rows = [[_as_text(each.get(column)) for column in columns] for each in objects]
    stem = _packed_stem(path)
    name = path.name if stem.endswith(_JSON_ENDINGS) else f"{path.name}.jsonl"
    return Head(path, name, "json", Dialect(), columns, rows, complete and len(rows) < MAX_ROWS)


def _values(text: str) -> Iterator[Any]:
    """Yield the values of JSON lines, or the elements of an array, up to the first broken one of an array."""
    if text.lstrip()[0] == "{":
        for line in text.split("\n"):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue
        return
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield value


def _as_text(value: Any) -> str:
    """Format a JSON value as `prep` reads it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parquet(path: Path, spool: Path) -> Head:
    """Look at a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no valid Parquet: {str(error).splitlines()[0]}") from error
    columns = list({name.casefold(): name for name in file.schema_arrow.names if name}.values())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        Parquet(tuple(columns), PREFIX).open(connection, path, "head", spool)
        chosen = ", ".join(name_in_sql(PREFIX + name) for name in columns)
        found = connection.execute(f"SELECT {chosen} FROM head LIMIT {MAX_ROWS}").fetchall()
    rows = [["" if value is None else value for value in row] for row in found]
    name = path.name if path.name.lower().endswith(".parquet") else f"{path.name}.parquet"
    return Head(path, name, "parquet", Dialect(), columns, rows, file.metadata.num_rows <= MAX_ROWS)

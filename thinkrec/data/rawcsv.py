"""CSV files as DuckDB tables of records, each with its line number and text, bad ones included.

Why not DuckDB's own CSV reader: it drops surplus fields, loses count of lines at blank lines and mixed
line ends, and gives up the whole file for one bad byte; quarantine must account for every row.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import duckdb

from thinkrec.data.database import name_in_sql
from thinkrec.data.rawlines import check_encoding
from thinkrec.errors import DataError

LONGEST = 1 << 24
"""Most characters of a field (16 million, as of a line of JSON)."""
BATCH = 50_000
"""Records handed on at once."""
NOT_UTF8 = "not UTF-8"
WRONG_FIELDS = "wrong number of fields"
BROKEN_QUOTES = "broken quotes"

Record = tuple[int, str, str | None]
"""Line number from 1, text, reason why it can't be used (None: it can)."""


class _Lines:
    """Lines of a file for `csv.reader`, which remembers those of the record at hand and takes lines back."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._back: deque[str] = deque()
        self.number = 0
        self.held: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._file)
        self.number += 1
        self.held.append(line)
        return line

    def keep_first(self) -> None:
        """Take back all lines of the record at hand but its first."""
        self._back.extendleft(reversed(self.held[1:]))
        self.number -= len(self.held) - 1
        del self.held[1:]


def _clean(text: str) -> tuple[str, str | None]:
    """The text without undecodable bytes, and the reason why it can't be used when there were any."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace"), NOT_UTF8
    return text, None


def _csv_records(lines: _Lines) -> Iterator[tuple[Record, list[str]]]:
    """Records of RFC 4180; of a broken one that spans lines, only the first line is given up.

    (One stray quote would otherwise swallow the file up to the next.)
    """
    reader = csv.reader(lines, strict=True)
    width = 0
    while True:
        lines.held.clear()
        start, fields, reason = lines.number + 1, [], None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            reason = BROKEN_QUOTES
        if not fields and reason is None:
            continue
        width = width or len(fields)
        if reason is None and len(fields) != width:
            reason = WRONG_FIELDS if len(lines.held) == 1 else BROKEN_QUOTES
        if reason is not None:
            lines.keep_first()
        text, bad = _clean("".join(lines.held).rstrip("\r\n"))
        yield (start, text, reason or bad), fields


def _places(path: Path, header: list[str], wanted: tuple[str, ...], text: str) -> list[int]:
    names = [name.strip() for name in header]
    for name in wanted:
        if name not in names:
            raise DataError(
                f"{path} has no column `{name}`: its first line is {text[:200]!r}, "
                f"needed are {', '.join(wanted)}, separated by commas"
            )
    return [names.index(name) for name in wanted]


def open_csv(connection: duckdb.DuckDBPyConnection, path: Path, table: str, columns: tuple[str, ...]) -> None:
    """Make `table` of a CSV file's records (UTF-8, header, RFC 4180 quotes, any order of columns).

    Its columns: line (of the record's start, from 1), text, reason (null: usable), then `columns` as
    strings, named `column 0` and so on, null where there is a reason. Blank lines are no records.

    Raises:
        DataError: the file is empty, can't be read, is in UTF-16, or lacks a column.
    """
    check_encoding(path)
    csv.field_size_limit(LONGEST)
    names = ", ".join(f"{name_in_sql(f'column {place}')} VARCHAR" for place in range(len(columns)))
    connection.execute(f"CREATE TABLE {table} (line BIGINT, text VARCHAR, reason VARCHAR, {names})")
    insert = f"INSERT INTO {table} SELECT unnest(?::BIGINT[]){', unnest(?::VARCHAR[])' * (2 + len(columns))}"
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        found = _csv_records(_Lines(file))
        (_, text, _), header = next(found, ((1, "", None), []))
        if not text:
            raise DataError(f"{path} is empty")
        places = _places(path, header, columns, text)
        while batch := list(islice(found, BATCH)):
            held = [(*record, *_chosen(record, fields, places)) for record, fields in batch]
            connection.execute(insert, [list(column) for column in zip(*held, strict=True)])


def _chosen(record: Record, fields: list[str], places: list[int]) -> list[str | None]:
    return [None if record[2] else fields[place] for place in places]

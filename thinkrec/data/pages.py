"""Pages of Parquet files: how much has to lie in memory at once, known before any of it is unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from thinkrec.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_HEAD = 1 << 14
"""Bytes in which a page's header is looked for first."""
_DICTIONARY = 2
_SMALL = 1 << 12
"""Bytes up to which a dictionary is taken for its longest value."""
_READ = 1 << 26
"""Bytes up to which a dictionary is read to find its longest value (64 MB)."""
_SPREAD = 8
"""How many times the average a piece of a nested column is taken to have."""


@dataclass(frozen=True)
class Chunk:
    """A column's part of a row group.

    Args:
        rows: of the row group.
        pages: values and unpacked bytes of each page of data.
        longest: bytes of the longest value of the dictionary, 0 where there is none.
        dictionary: bytes of the dictionary.
        nested: a row may hold many values.
    """

    rows: int
    pages: list[tuple[int, int]]
    longest: int
    dictionary: int
    nested: bool

    @property
    def largest(self) -> int:
        """Bytes of the largest page."""
        return max([self.dictionary, *(size for _, size in self.pages)])

    def window(self, rows: int) -> int:
        """Most bytes that so many rows in a row can take."""
        if self.nested:
            whole = sum(size for _, size in self.pages) + self.rows * self.longest
            return min(whole, _SPREAD * whole * rows // max(self.rows, 1))
        most = held = values = first = 0
        for count, size in self.pages:
            held, values = held + size, values + count
            # The first page may give its last value alone.
            while values - self.pages[first][0] + 1 > rows:
                values, held, first = values - self.pages[first][0], held - self.pages[first][1], first + 1
            most = max(most, held)
        return most + min(rows, self.rows) * self.longest


def chunks(path: Path, columns: tuple[str, ...]) -> Iterator[list[Chunk]]:
    """Of each row group the parts of some columns that hold texts.

    Raises:
        DataError: a page's header can't be read.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file, path.open("rb") as raw:
        schema, about = file.schema, file.metadata
        wanted = [
            leaf
            for leaf in range(len(schema))
            if _top(schema.column(leaf).path, columns)
            and schema.column(leaf).physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
        ]
        for number in range(about.num_row_groups):
            group = about.row_group(number)
            found = []
            for leaf in wanted:
                pages, dictionary = _pages(raw, path, group.column(leaf))
                nested = schema.column(leaf).max_repetition_level > 0
                found.append(Chunk(group.num_rows, pages, 0, dictionary, nested))
            named = zip(wanted, found, strict=True)
            yield [_with_longest(path, number, schema.column(leaf).path, one) for leaf, one in named]


def _top(leaf: str, columns: tuple[str, ...]) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in columns)


def _with_longest(path: Path, group: int, leaf: str, chunk: Chunk) -> Chunk:
    """A part with the length of its dictionary's longest value."""
    longest = chunk.dictionary
    if _SMALL < chunk.dictionary <= _READ and chunk.largest <= _READ and not chunk.nested:
        longest = _longest(path, group, leaf, longest)
    return Chunk(chunk.rows, chunk.pages, longest, chunk.dictionary, chunk.nested)


def _longest(path: Path, group: int, leaf: str, otherwise: int) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=[leaf], buffer_size=1 << 20) as file:
        for batch in file.iter_batches(1, row_groups=[group], columns=[leaf], use_threads=False):
            column = batch.column(0)
            if not pa.types.is_dictionary(column.type):
                return otherwise
            return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)
    return otherwise


def _pages(raw: IO[bytes], path: Path, column: Any) -> tuple[list[tuple[int, int]], int]:
    """Values and bytes of each page of data, and the bytes of the dictionary."""
    place = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset:
        place = min(place, column.dictionary_page_offset)
    end, pages, dictionary = place + column.total_compressed_size, [], 0
    while place < end:
        header, length = _header(raw, path, place)
        kind, size, packed = (header.get(key, 0) for key in (1, 2, 3))
        if packed < 0 or size < 0:
            raise DataError(f"{path} is damaged: a page of column `{column.path_in_schema}` has no size")
        if kind == _DICTIONARY:
            dictionary = max(dictionary, size)
        else:
            about = header.get(5) or header.get(8) or {}
            pages.append((max(about.get(1, 1), 1), size))
        place += length + packed
    return pages, dictionary


def _header(raw: IO[bytes], path: Path, place: int) -> tuple[dict[int, Any], int]:
    """A page's header by the numbers of its fields, and how many bytes it has."""
    most = _HEAD
    while most <= 1 << 26:
        raw.seek(place)
        data = raw.read(most)
        try:
            return _struct(data, 0)
        except IndexError:
            if len(data) < most:
                break
        most *= 8
    raise DataError(f"{path} is damaged: the header of a page can't be read")


def _number(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        found |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return found, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    found, at = _number(data, at)
    return (found >> 1) ^ -(found & 1), at


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A structure in Thrift's compact protocol, and where it ends."""
    found: dict[int, Any] = {}
    field = 0
    while kind := data[at] & 15:
        step, at = data[at] >> 4, at + 1
        if step:
            field += step
        else:
            field, at = _signed(data, at)
        found[field], at = (kind == 1, at) if kind in (1, 2) else _value(data, at, kind)
    return found, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2, 3):
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _signed(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _number(data, at)
        return None, at + length
    if kind in (9, 10):
        count, inner = data[at] >> 4, data[at] & 15
        at += 1
        if count == 15:
            count, at = _number(data, at)
        for _ in range(count):
            _, at = _value(data, at, inner)
        return None, at
    if kind == 12:
        return _struct(data, at)
    raise IndexError(kind)


def copied(path: Path, columns: list[str], rows: int, most: int, copy: Path, longest: int) -> None:
    """Write some columns to another Parquet file, in row groups of few bytes.

    Args:
        path: the file.
        columns: their names.
        rows: read at once.
        most: bytes of a row group; the last rows may be more.
        copy: the other file.
        longest: most bytes of a value.

    Raises:
        DataError: a value is longer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, buffer_size=1 << 20) as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in columns])
        with pq.ParquetWriter(
            copy, schema, use_dictionary=False, compression="snappy", write_statistics=False
        ) as out:
            held: list[pa.RecordBatch] = []
            for batch in file.iter_batches(rows, columns=columns, use_threads=False):
                batch = batch.select(columns)
                _refuse_long(path, batch, longest)
                held.append(batch)
                if sum(each.nbytes for each in held) >= most:
                    out.write_table(pa.Table.from_batches(held, schema))
                    held = []
            if held:
                out.write_table(pa.Table.from_batches(held, schema))
    pa.default_memory_pool().release_unused()


def _refuse_long(path: Path, batch: pa.RecordBatch, longest: int) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
        if (
            any(is_kind(kind) for is_kind in texts)
            and (pc.max(pc.binary_length(column)).as_py() or 0) > longest
        ):
            raise DataError(
                f"{path} has a value of more than {longest:,} bytes in column `{name}`; "
                "a value holds one text"
            )

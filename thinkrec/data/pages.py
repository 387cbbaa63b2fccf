"""Pages of Parquet files: memory needed to decompress them, computed before decompressing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from thinkrec.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_HEAD = 1 << 14
"""Bytes read first for a page's header."""
_DICTIONARY = 2
_SMALL = 1 << 12
"""Bytes up to which a dictionary's size bounds its longest value well enough."""
_READ = 1 << 26
"""Bytes up to which a dictionary is read to find its longest value (64 MiB)."""
_SPREAD = 8
"""Assumed ratio of the largest to the average part of a nested column."""


@dataclass(frozen=True)
class Chunk:
    """A column chunk.

    Args:
        rows: number of rows of the row group.
        pages: number of values and decompressed bytes of each data page.
        longest: bytes of the dictionary's longest value, 0 without dictionary.
        dictionary: bytes of the dictionary.
        nested: whether a row may hold many values.
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
        """Bound the bytes that `rows` consecutive rows can take."""
        if self.nested:
            whole = sum(size for _, size in self.pages) + self.rows * self.longest
            return min(whole, _SPREAD * whole * rows // max(self.rows, 1))
        peak = held = values = first = 0
        for count, size in self.pages:
            held, values = held + size, values + count
            # The first page may contribute only its last value.
            while values - self.pages[first][0] + 1 > rows:
                values, held, first = values - self.pages[first][0], held - self.pages[first][1], first + 1
            peak = max(peak, held)
        return peak + min(rows, self.rows) * self.longest


def chunks(path: Path, columns: tuple[str, ...]) -> Iterator[list[Chunk]]:
    """Yield the text columns' chunks of each row group.

    Raises:
        DataError: a page's header can't be read.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file, path.open("rb") as raw:
        schema, metadata = file.schema, file.metadata
        leaves = [
            leaf
            for leaf in range(len(schema))
            if _top(schema.column(leaf).path, columns)
            and schema.column(leaf).physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
        ]
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            parts = []
            for leaf in leaves:
                pages, dictionary = _pages(raw, path, group.column(leaf))
                nested = schema.column(leaf).max_repetition_level > 0
                parts.append(Chunk(group.num_rows, pages, 0, dictionary, nested))
            named = zip(leaves, parts, strict=True)
            yield [_with_longest(path, number, schema.column(leaf).path, chunk) for leaf, chunk in named]


def _top(leaf: str, columns: tuple[str, ...]) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in columns)


def _with_longest(path: Path, group: int, leaf: str, chunk: Chunk) -> Chunk:
    """Fill in the length of the dictionary's longest value."""
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
    """Read the number of values and bytes of each data page, and the bytes of the dictionary."""
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
            page_header = header.get(5) or header.get(8) or {}
            pages.append((max(page_header.get(1, 1), 1), size))
        place += length + packed
    return pages, dictionary


def _header(raw: IO[bytes], path: Path, place: int) -> tuple[dict[int, Any], int]:
    """Read a page's header, by field number, and its length in bytes."""
    limit = _HEAD
    while limit <= 1 << 26:
        raw.seek(place)
        data = raw.read(limit)
        try:
            return _struct(data, 0)
        except IndexError:
            if len(data) < limit:
                break
        limit *= 8
    raise DataError(f"{path} is damaged: the header of a page can't be read")


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _number(data, at)
    return (value >> 1) ^ -(value & 1), at


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Parse a structure in Thrift's compact protocol; return it and its end."""
    fields: dict[int, Any] = {}
    field = 0
    while kind := data[at] & 15:
        step, at = data[at] >> 4, at + 1
        if step:
            field += step
        else:
            field, at = _signed(data, at)
        fields[field], at = (kind == 1, at) if kind in (1, 2) else _value(data, at, kind)
    return fields, at + 1


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


def copy_bounded(
    path: Path, columns: list[str], rows: int, group_bytes: int, copy: Path, max_bytes: int
) -> None:
    """Copy columns to another Parquet file with small row groups.

    Args:
        path: the file.
        columns: their names.
        rows: number of rows read at once.
        group_bytes: size of a row group, exceeded by at most the last rows read.
        copy: the new file.
        max_bytes: maximum bytes of a value.

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
            batches: list[pa.RecordBatch] = []
            for batch in file.iter_batches(rows, columns=columns, use_threads=False):
                batch = batch.select(columns)
                _refuse_long(path, batch, max_bytes)
                batches.append(batch)
                if sum(each.nbytes for each in batches) >= group_bytes:
                    out.write_table(pa.Table.from_batches(batches, schema))
                    batches = []
            if batches:
                out.write_table(pa.Table.from_batches(batches, schema))
    pa.default_memory_pool().release_unused()


def _refuse_long(path: Path, batch: pa.RecordBatch, max_bytes: int) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
        if (
            any(is_kind(kind) for is_kind in texts)
            and (pc.max(pc.binary_length(column)).as_py() or 0) > max_bytes
        ):
            raise DataError(
                f"{path} has a value of more than {max_bytes:,} bytes in column `{name}`; "
                "a value holds one text"
            )

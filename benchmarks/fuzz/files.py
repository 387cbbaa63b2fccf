"""Raw files for the fuzzer: clean rows with dirty ones between, compressed and damaged in many ways."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from fuzz import dirt

Draw = Callable[..., Any]


@dataclass(frozen=True)
class Column:
    """A column of a raw file: its name, its clean values, and its pool of dirty ones."""

    name: str
    clean: list[str]
    pool: str = "text"


@dataclass(frozen=True)
class Written:
    """The dialect of a delimited text file."""

    separator: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"

    def of_csv(self, content: bytes) -> bytes:
        """Convert CSV with commas in UTF-8 to this dialect."""
        mark = self.separator.encode()
        if len(mark) == 1:  # commas in texts become what separators were in them
            content = content.translate(bytes.maketrans(b"," + mark, mark + b","))
        else:
            content = content.replace(b",", mark)
        if self.encoding.startswith("utf-16"):
            return content.decode("utf-8", errors="replace").encode(self.encoding)
        return content


COMMAS = Written()


@dataclass(frozen=True)
class RawText:
    """A raw file of an input.

    Args:
        name: in the raw folder.
        layout: csv, json, latin-1 or utf-8 (lines of `::`), parquet.
        content: its bytes on disk.
        core: its clean rows, as text.
        written: its dialect.
    """

    name: str
    layout: str
    content: bytes
    core: tuple[str, ...]
    written: Written = COMMAS


ROW_CHANGES = ["none"] * 8 + [
    "less", "more", "twice", "turned", "cut", "tail", "double", "wrapped", "spaced", "name",
]  # fmt: skip
FILE_CHANGES = ["none"] * 110 + [
    "empty", "blank", "first line", "cut", "splice", "mark", "marks", "utf-16", "utf-32", "no utf-8 at all",
    "long line", "mark alone", "blank first",
]  # fmt: skip
PACKS = ["gzip"] * 60 + ["members"] * 5 + [
    "members in a line", "cut", "bad checksum", "flipped", "tail", "zeros", "plain",
]  # fmt: skip
LONG = {"json": 17_000_000, "csv": 140_000, "latin-1": 2_000_000, "utf-8": 2_000_000}


def change_row(
    kind: str, parts: list[bytes], opened: bytes, between: bytes, closed: bytes, cut: int
) -> bytes:
    """Damage a row of fields as a whole."""
    if kind == "less":
        parts = parts[:-1]
    if kind == "more":
        parts = [*parts, b'"extra":{"a":[1,"]"]}' if opened else b"extra"]
    if kind == "twice":
        parts = [*parts, *parts[:1]]
    if kind == "turned":
        parts = parts[::-1]
    if kind == "name":
        parts = [parts[0].swapcase(), *parts[1:]]
    row = opened + between.join(parts) + closed
    changed = {"cut": row[:cut], "tail": row + b" x", "double": row + row, "wrapped": b"[" + row + b"]"}
    return changed.get(kind, b"  " + row + b"\t " if kind == "spaced" else row)


def _join(parts: list[bytes], layout: str, kind: str = "none", cut: int = 0) -> bytes:
    signs = {"json": (b"{", b",", b"}"), "csv": (b"", b",", b"")}.get(layout, (b"", b"::", b""))
    return change_row(kind, parts, *signs, cut)


def _field(layout: str, column: Column) -> dirt.Tokens:
    pool = dirt.POOLS[column.pool]
    if layout != "json":
        return dirt.csv_field(column.clean, pool)
    key = dirt.json_key(column.name)
    return dirt.json_value(column.clean, pool).map(lambda value: key + b":" + value)


def clean_row(layout: str, columns: list[Column], values: list[str]) -> bytes:
    """Encode a clean row."""
    if layout == "json":
        pairs = zip(columns, values, strict=True)
        return _join(
            [dirt.json_key(column.name) + b":" + dirt.json_token(value) for column, value in pairs], layout
        )
    return _join([dirt.csv_token(value) for value in values], layout)


@st.composite
def text_file(
    draw: Draw,
    name: str,
    layout: str,
    columns: list[Column],
    rows: list[list[str]],
    written: Written = COMMAS,
) -> RawText:
    """Draw a file of clean rows with dirty ones between them, any line ends, sometimes damaged as a whole."""
    ends = [b"\n", b"\n", b"\r\n"] + ([b"\r"] if layout != "json" else [])
    usual = draw(st.sampled_from(ends))
    row = st.builds(
        lambda parts, kind, cut: _join(list(parts), layout, kind, cut),
        st.tuples(*(_field(layout, column) for column in columns)),
        st.sampled_from(ROW_CHANGES),
        st.integers(0, 40),
    )
    core = [clean_row(layout, columns, values) for values in rows]
    lines = [line + usual for line in core]
    places = st.integers(0, len(lines))
    line = st.integers(0, 9).flatmap(
        lambda turn: row if turn < 6 else st.sampled_from(core) if turn == 6 else dirt.any_line()
    )
    for place, data, end in draw(
        st.lists(st.tuples(places, line, st.sampled_from([usual, *ends])), max_size=10)
    ):
        lines.insert(place, data + end)
    head = (
        _join([dirt.csv_token(column.name) for column in columns], layout) + usual
        if layout == "csv" and written.header
        else b""
    )
    if layout == "latin-1" and draw(st.integers(0, 29)):
        lines.append(b"caf\xe9" + usual)
    content = change_file(draw, draw(st.sampled_from(FILE_CHANGES)), head, lines, layout)
    if draw(st.booleans()):
        content = content.rstrip(b"\r\n")
    content = written.of_csv(content)
    if name.endswith(".gz"):
        content = pack(draw, draw(st.sampled_from(PACKS)), content)
    elif name.endswith(".zst"):
        content = pa.Codec("zstd").compress(content, asbytes=True)
        if draw(st.integers(0, 19)) == 0:
            content = content[: draw(st.integers(4, len(content)))]
    elif layout == "json" and not draw(st.integers(0, 19)):
        content = gzip.compress(content, 1)
    encoding = "latin-1" if layout == "latin-1" else "utf-8"
    if written != COMMAS:
        core = [written.of_csv(line) for line in core]
        encoding = written.encoding
    return RawText(name, layout, content, tuple(line.decode(encoding) for line in core), written)


def change_file(draw: Draw, kind: str, head: bytes, lines: list[bytes], layout: str) -> bytes:
    """Damage a file as a whole."""
    content = head + b"".join(lines)
    if kind in ("cut", "splice"):
        place = draw(st.integers(0, len(content)))
        rest = draw(st.binary(max_size=20)) + content[place:] if kind == "splice" else b""
        return content[:place] + rest
    if kind == "long line":
        return head + lines[0] + b"z" * LONG[layout] + b"\n" + b"".join(lines[1:])
    if kind.startswith("utf"):
        return content.decode("utf-8", errors="replace").encode(kind)
    return {
        "empty": b"",
        "blank": b"\r\n \n\t\n\n" * 1000,
        "first line": head or lines[0],
        "mark alone": b"\xef\xbb\xbf\n",
        "blank first": b"\n" * 5000 + content,
        "mark": b"\xef\xbb\xbf" + content,
        "marks": b"\xef\xbb\xbf" * 2 + content,
        "no utf-8 at all": content.replace(b"u", b"\xfc"),
    }.get(kind, content)


def pack(draw: Draw, kind: str, content: bytes) -> bytes:
    """Compress a file with gzip, intact or damaged."""
    if kind == "plain":
        return content
    half = len(content) // 2
    whole = gzip.compress(content, 1)
    if kind == "members":
        half = content.rfind(b"\n", 0, half) + 1
    if kind.startswith("members"):
        return gzip.compress(content[:half], 1) + gzip.compress(b"") + gzip.compress(content[half:], 9)
    if kind == "cut":
        return whole[: draw(st.integers(1, len(whole)))]
    if kind == "bad checksum":
        return whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    if kind == "flipped":
        place = draw(st.integers(2, len(whole) - 1))
        return whole[:place] + bytes([whole[place] ^ draw(st.integers(1, 255))]) + whole[place + 1 :]
    return whole + {"tail": b"tail", "zeros": b"\0" * 9}.get(kind, b"")


@st.composite
def array_file(draw: Draw, name: str, columns: list[Column], rows: list[list[str]]) -> RawText:
    """Draw a JSON array of clean and odd objects, on one line, one line each or indented."""
    names = [column.name for column in columns]
    objects: list[Any] = [dict(zip(names, values, strict=True)) for values in rows]
    values = (
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.lists(st.text(max_size=3))
    )
    odd = st.dictionaries(st.sampled_from([*names, "other"]), values, max_size=4)
    objects += draw(st.lists(odd, max_size=5))
    indent = draw(st.sampled_from([None, 0, 2]))
    content = json.dumps(objects, indent=indent).encode()
    if draw(st.integers(0, 19)) == 0:
        content = content[: draw(st.integers(1, len(content)))]
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
    return RawText(name, "array", content, ())


def parquet_value(kind: str, column: Column) -> st.SearchStrategy[Any]:
    """Draw a value of a Parquet column, by kind of type."""
    text = st.sampled_from(column.clean + dirt.POOLS[column.pool]) | st.text(max_size=8)
    return {
        "text": text,
        "integer": st.sampled_from([0, 1, 5, -1, dirt.START, dirt.START * 1000, 2**63 - 1])
        | st.integers(-9, 9),
        "number": st.floats() | st.sampled_from([1.0, 5.0, float(dirt.START)]),
        "list": st.lists(text, max_size=3),
        "moment": st.sampled_from([dirt.START * 10**6, 0, -1, 2**62]),
        "bytes": st.binary(max_size=6),
    }[kind]


_TYPES = {
    "text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "list": pa.list_(pa.string()),
    "moment": pa.timestamp("us"), "bytes": pa.binary(),
}  # fmt: skip
_NATURAL = {"text": ["text"] * 6 + ["integer", "list", "bytes"], "number": ["number", "integer", "text"],
            "time": ["integer", "integer", "text", "moment", "number"]}  # fmt: skip


@st.composite
def parquet_file(draw: Draw, name: str, columns: list[Column], rows: list[list[str]]) -> RawText:
    """Draw clean rows if their types allow, then dirty ones; sometimes damaged."""
    count = draw(st.integers(0, 8))
    table: dict[str, pa.Array] = {}
    for place, column in enumerate(columns):
        kind = draw(st.sampled_from(_NATURAL[column.pool]))
        clean = [_typed(kind, values[place]) for values in rows]
        odd = draw(st.lists(st.none() | parquet_value(kind, column), min_size=count, max_size=count))
        table[column.name] = pa.array([*clean, *odd], _TYPES[kind])
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink, row_group_size=draw(st.sampled_from([5, 1000])))
    content = sink.getvalue()
    if draw(st.integers(0, 9)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    return RawText(name, "parquet", content, ())


def _typed(kind: str, text: str) -> Any:
    number = int(text) if text.isdigit() else 0
    typed = {"integer": number, "number": float(number), "list": [text], "moment": min(number * 10**6, 2**62)}
    return text.encode() if kind == "bytes" else typed.get(kind, text)

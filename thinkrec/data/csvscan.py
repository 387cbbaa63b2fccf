"""Scanner that splits delimited text files into valid and invalid records with line numbers.

DuckDB needs valid input: it drops surplus fields, miscounts lines at blank lines and mixed line ends, and
rejects a whole file for one bad byte. So blocks of some megabytes are checked as arrays: where quotes open
and close, where records end, how many fields each has. Python's parser reads only the records whose quotes
violate RFC 4180.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from thinkrec.data.database import too_long
from thinkrec.data.dialect import MAX_FIELDS, MAX_RECORD_BYTES, Dialect
from thinkrec.data.unpack import read_utf8
from thinkrec.errors import DataError

BLOCK = 1 << 22
"""Bytes per block."""
WRONG_FIELDS = "wrong number of fields"
BROKEN_QUOTES = "broken quotes"
_LF, _CR = 10, 13
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_CHUNK = 100_000
"""Records whose offsets are converted to Python integers at once."""
_GUESS_CHARACTERS = 200
"""Characters kept of a guessed field."""
_RECBOLE_COLUMN = re.compile(r"(.+):(?:token|float)(?:_seq)?")


class Block(NamedTuple):
    """Consecutive valid records, n of them.

    Args:
        offset: where they begin in the file's UTF-8 text, in bytes.
        data: their bytes, UTF-8.
        starts: where each begins in `data`, [n].
        ends: where its text ends, before the line end, [n].
        lines: number of its first line, [n], from 1.
        newline: their common line end; b"" if the only one has none, None if they differ.
        multiline: whether some record spans several lines.
    """

    offset: int
    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    newline: bytes | None
    multiline: bool

    def text(self, index: int) -> str:
        """Return the raw text of one record."""
        return self.data[self.starts[index] : self.ends[index]].decode("utf-8")


class Single(NamedTuple):
    """A record that DuckDB can't read as is: invalid, or valid but with quotes that violate RFC 4180.

    Args:
        line: number of its first line, from 1.
        text: raw text, undecodable bytes replaced.
        fields: as far as they can be parsed, at most MAX_FIELDS + 1.
        reason: why it is invalid; None if it is valid.
    """

    line: int
    text: str
    fields: list[str]
    reason: str | None


class _MoreError(Exception):
    """The current record continues beyond the buffer."""


class _LongError(Exception):
    """A line has more than MAX_RECORD_BYTES bytes."""


class _Lines:
    """Line iterator for Python's parser that keeps the lines of the current record.

    Raises the parser's error for a record of more than MAX_RECORD_BYTES bytes.
    """

    def __init__(self, data: bytes, start: int, final: bool) -> None:
        self._data, self._at, self._final = data, start, final
        self.read: list[bytes] = []
        self._start = start

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        match = _LINE.match(self._data, self._at)
        line = match[0] if match else b""
        self._at += len(line)
        if len(line) > MAX_RECORD_BYTES:
            raise _LongError
        if self._at - self._start > MAX_RECORD_BYTES:
            raise csv.Error
        if not self._final:
            ended = line.endswith(b"\n") or (line.endswith(b"\r") and self._at < len(self._data))
            if not ended:
                raise _MoreError
        if not line:
            raise StopIteration
        self.read.append(line)
        return line.decode("utf-8", "surrogateescape")


class _Ends(NamedTuple):
    """Layout of records in some data.

    Args:
        stops: offset after each record's line end, [n].
        separators: number of separators in each, [n].
        inner: offsets of line ends inside quotes.
        odd: whether a misplaced or unclosed quote follows them.
    """

    stops: np.ndarray
    separators: np.ndarray
    inner: np.ndarray
    odd: bool


class _Records(NamedTuple):
    """Records in some data, valid or not, n of them.

    Args:
        starts, ends, lines: as in `Block`.
        stops: offset after each line end, [n].
        inner: number of line ends inside quotes, [n].
        blank, wrong, broken: blank line; wrong number of fields; not UTF-8, [n] bool each.
    """

    starts: np.ndarray
    ends: np.ndarray
    stops: np.ndarray
    lines: np.ndarray
    inner: np.ndarray
    blank: np.ndarray
    wrong: np.ndarray
    broken: np.ndarray

    def part(self, low: int, high: int) -> _Records:
        """Return a range of them."""
        return _Records(*(column[low:high] for column in self))


class Scan:
    """One pass over a file.

    Args:
        path: the file.
        dialect: its dialect.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        """Prepare a scan; nothing is read yet."""
        self.path, self.dialect = path, dialect
        self.header: list[str] = []
        """Column names, set by the first step of `pieces`; [] if there are none."""
        self.first = b""
        """The file up to the end of its first non-blank record, including its line end."""
        self._width = 0
        self._started = self._final = False
        self._data = b""
        self._at = self._consumed = 0  # offset in the buffer; bytes before the buffer
        self._line = 1
        self._reparsed = 0
        mark = dialect.separator.encode()
        # 0xFF and 0xFE never occur in UTF-8: they replace a separator of several bytes.
        self._mark = mark if len(mark) > 1 else None
        opening, closing = (0xFF, 0xFE) if self._mark else (mark[0], mark[0])
        self._quote = ord(dialect.quote) if dialect.quote else None
        self._special, self._may_open, self._may_close = np.zeros((3, 256), dtype=bool)
        self._special[[opening, _LF, _CR]] = True
        self._may_open[[closing, _LF, _CR]] = True
        self._may_close[[opening, _LF, _CR]] = True
        if self._quote is not None:
            for table in (self._special, self._may_open, self._may_close):
                table[self._quote] = True

    @property
    def encoding_reason(self) -> str:
        """Reason of records with bytes that do not decode."""
        return f"not {self.dialect.encoding.upper()}"

    @property
    def length(self) -> int:
        """Bytes of UTF-8 text consumed so far."""
        return self._consumed + self._at

    def pieces(self) -> Iterator[Block | Single]:
        """Yield all records after the header in file order, without blank lines.

        The first record sets the number of fields.

        Raises:
            DataError: the compressed stream is broken, or a line is too long.
        """
        blocks = read_utf8(self.path, self.dialect.encoding, BLOCK)
        following: bytes | None = next(blocks, b"")
        while following is not None:
            block, following = following, next(blocks, None)
            self._consumed += self._at
            self._data, self._at = self._data[self._at :] + block, 0
            self._final = following is None
            if self._started or self._start():
                yield from self._take_all()
            if len(self._data) - self._at > MAX_RECORD_BYTES and _no_line_end(self._data, self._at):
                raise too_long(self.path, MAX_RECORD_BYTES, self._line)

    def _start(self) -> bool:
        """Read the first record, which names the columns; return False if it needs more bytes."""
        start, line, single = self._at, self._line, None
        while single is None or (single.reason == BROKEN_QUOTES and not self.dialect.header):
            try:
                read, single = self._record()
            except _MoreError:
                self._at, self._line = start, line
                return False
            if not read:
                self._at, self._line = start, line
                return self._final and not self.dialect.header
        self._started = True
        fields = [] if single.reason == BROKEN_QUOTES else single.fields
        self._width = len(fields)
        if self.dialect.header:
            self.first = self._data[: self._at]
            self.header = _without_types([name.strip() for name in fields])
        else:
            self.header = [str(place + 1) for place in range(self._width)]
            self._at, self._line = start, line
        return True

    def _record(self) -> tuple[int, Single | None]:
        """Read the next record with Python's parser: its length in bytes, and the record, None if blank.

        Of a broken multi-line record only the first line is rejected: otherwise one stray quote would swallow
        the file up to the next.

        Raises:
            _MoreError: it continues beyond the buffer.
        """
        lines = _Lines(self._data, self._at, self._final)
        reason, fields = None, list[str]()
        if self.dialect.quote:
            try:
                fields = next(self.dialect.reader(lines), [])[: MAX_FIELDS + 1]
            except csv.Error:
                reason = BROKEN_QUOTES
            except _LongError:
                raise too_long(self.path, MAX_RECORD_BYTES, self._line + len(lines.read)) from None
        elif text := self._line_of(lines).rstrip("\r\n"):
            fields = self.dialect.fields(text)
        if reason is None and self._width and fields and len(fields) != self._width:
            reason = WRONG_FIELDS if len(lines.read) == 1 else BROKEN_QUOTES
        read = lines.read[:1] if reason else lines.read
        raw, line = b"".join(read), self._line
        self._limit_reparsing(sum(map(len, lines.read)) - len(raw))
        self._at += len(raw)
        self._line += len(read)
        blank = not fields and reason is None
        return len(raw), None if blank else self._single(line, raw.rstrip(b"\r\n"), fields, reason)

    def _limit_reparsing(self, again: int) -> None:
        """Count bytes that will be parsed again; give up if quotes make the scan quadratic."""
        self._reparsed += again
        if again and self._reparsed > max(2 * MAX_RECORD_BYTES, 10 * self.length):
            raise DataError(
                f"{self.path}, line {self._line:,}: too many broken quotes: correct them, or set the data "
                "set's `quote`"
            )

    def _line_of(self, lines: _Lines) -> str:
        try:
            return next(lines, "")
        except _LongError:
            raise too_long(self.path, MAX_RECORD_BYTES, self._line) from None

    def _single(self, line: int, raw: bytes, fields: list[str], reason: str | None) -> Single:
        if reason == BROKEN_QUOTES:  # split naively: an id before the misplaced quote is right
            text = raw.decode("utf-8", "surrogateescape")
            parts = text.split(self.dialect.separator, MAX_FIELDS + 1)[: MAX_FIELDS + 1]
            fields = [each.strip(self.dialect.quote)[:_GUESS_CHARACTERS] for each in parts]
        decoded = [each.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for each in fields]
        if reason is None and not _is_utf8(raw):
            reason = self.encoding_reason
        return Single(line, raw.decode("utf-8", "replace"), decoded, reason)

    def _take_all(self) -> Iterator[Block | Single]:
        """Yield the buffer's records, except one that may continue beyond it."""
        pieces, odd = self._take()
        yield from pieces
        while odd and self._at < len(self._data):
            odd = yield from self._by_lines()

    def _by_lines(self) -> Generator[Block | Single, None, bool]:
        """Yield records from a misplaced quote on: valid lines directly, others by the parser.

        A line whose quotes are balanced and well placed is a record if one begins there.

        Returns:
            Whether the buffer may hold more.
        """
        base, first = self._at, self._line
        data = self._data[base : self._chunk_end(base)]
        final = self._final and base + len(data) == len(self._data)
        codes, places, kinds = self._special_bytes(data)
        ending = (kinds == _LF) | (kinds == _CR)
        stops = places[ending] + 1
        if final and (not len(stops) or stops[-1] < len(data)):
            stops = np.append(stops, len(data))
        if not len(stops):
            return False
        inside = places < stops[-1]
        places, kinds = places[inside], kinds[inside]
        starts = np.concatenate([[0], stops[:-1]])
        line = np.cumsum(ending[inside], dtype=np.int32) - ending[inside]
        quotes = kinds == (self._quote or 0)
        where = places[quotes]
        depth = (_parity(quotes) - (np.searchsorted(where, starts) & 1).astype(np.uint8)[line]) & 1
        odd = (np.bincount(line[quotes], minlength=len(stops)) & 1).astype(bool) | (
            stops - starts > MAX_RECORD_BYTES
        )
        odd[line[quotes][self._misplaced(codes, where, depth[quotes] == 1)]] = True
        between = ~quotes & (kinds != _LF) & (kinds != _CR) & (depth == 0)
        separators = np.bincount(line[between], minlength=len(stops))
        ends = _text_ends(data, starts, stops)
        blank = ends == starts
        wrong = (separators != self._width - 1) & ~blank
        lines, none = first + np.arange(len(stops)), np.zeros(len(stops), dtype=np.int64)
        broken = _undecodable(data[: int(stops[-1])], starts, ends)
        records = _Records(starts, ends, stops, lines, none, blank, wrong, broken)
        starts_of, done = np.concatenate([[0], stops]), 0
        for place in [*np.flatnonzero(odd).tolist(), len(stops)]:
            if place < done:  # inside a multi-line record
                continue
            if self._at - base > starts_of[place]:  # the last record continues beyond these lines
                break
            if place > done:
                yield from self._pieces(data, records.part(done, place), self._consumed + base)
            self._at, self._line = base + int(starts_of[place]), first + place
            if place == len(stops):
                break
            try:
                _, single = self._record()
            except _MoreError:
                return False
            if single is not None:
                yield single
            done = int(np.searchsorted(starts, self._at - base))
        return True

    def _chunk_end(self, start: int) -> int:
        """Return the end of the lines to check at once: about a block, or one longer line."""
        stop = start + BLOCK
        if stop >= len(self._data):
            return len(self._data)
        ended = self._data.rfind(b"\n", start, stop)
        if ended < 0:
            ended = self._data.find(b"\n", stop)
        return len(self._data) if ended < 0 else ended + 1

    def _take(self) -> tuple[Iterator[Block | Single], bool]:
        """Take records off the buffer as arrays, up to the first that needs Python's parser.

        Returns:
            The records, and whether one that needs the parser follows.
        """
        data = self._data[self._at :] if self._at else self._data
        layout = self._ends(data)
        stops, separators = layout.stops, layout.separators
        starts = np.concatenate([[0], stops[:-1]])[: len(stops)]
        inner = np.bincount(np.searchsorted(stops, layout.inner, side="right"), minlength=len(stops) + 1)[:-1]
        ends = _text_ends(data, starts, stops)
        blank = ends == starts
        wrong = (separators != self._width - 1) & ~blank
        hard = np.flatnonzero((wrong & (inner > 0)) | (stops - starts > MAX_RECORD_BYTES))
        count = int(hard[0]) if len(hard) else len(stops)
        starts, ends, stops, inner = starts[:count], ends[:count], stops[:count], inner[:count]
        length = int(stops[-1]) if count else 0
        lines = self._line + np.arange(count) + np.cumsum(inner) - inner
        broken = _undecodable(data[:length], starts, ends)
        records = _Records(starts, ends, stops, lines, inner, blank[:count], wrong[:count], broken)
        pieces = self._pieces(data, records, self._consumed + self._at)
        self._at += length
        self._line += count + int(inner.sum())
        odd = len(hard) > 0 or layout.odd or len(data) - length > MAX_RECORD_BYTES
        return pieces, odd

    def _special_bytes(self, data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find separators, quotes and line ends: bytes with long separators marked, offsets, bytes there."""
        marked = data
        if self._mark is not None:
            marked = data.replace(self._mark, b"\xff" + b"\xfe" * (len(self._mark) - 1))
        codes = np.frombuffer(marked, dtype=np.uint8)
        places = np.flatnonzero(self._special[codes]).astype(np.int32)
        kinds = codes[places]
        if b"\r" in data:  # a CR before a LF is not a line end
            after = codes[np.minimum(places + 1, len(codes) - 1)]
            joined = (kinds == _CR) & (after == _LF) & (places + 1 < len(codes))
            undecided = (kinds == _CR) & (places + 1 == len(codes)) & (not self._final)
            places, kinds = places[~(joined | undecided)], kinds[~(joined | undecided)]
        return codes, places, kinds

    def _misplaced(self, codes: np.ndarray, where: np.ndarray, opens: np.ndarray) -> np.ndarray:
        """Mask the quotes at `where` that may not open or close a field."""
        before = np.where(where > 0, codes[where - 1], _LF)
        after = np.where(where + 1 < len(codes), codes[np.minimum(where + 1, len(codes) - 1)], _LF)
        return ~np.where(opens, self._may_open[before], self._may_close[after])

    def _ends(self, data: bytes) -> _Ends:
        """Find where records end, up to the first misplaced quote."""
        codes, places, kinds = self._special_bytes(data)
        inner, odd, limit = places[:0], False, len(codes)
        if self._quote is not None and self.dialect.quote.encode() in data:
            quotes = kinds == self._quote
            depth = _parity(quotes)  # 1 inside quotes
            where, opens = places[quotes], depth[quotes] == 1
            wrong = np.flatnonzero(self._misplaced(codes, where, opens))
            limit = int(where[wrong[0]]) if len(wrong) else limit
            odd = len(wrong) > 0 or (self._final and bool(depth[-1]))
            ending = (kinds == _LF) | (kinds == _CR)
            inner = places[ending & (depth == 1)]
            outside = (depth == 0) & ~quotes
            places, kinds = places[outside], kinds[outside]
        last = np.flatnonzero((kinds == _LF) | (kinds == _CR))
        stops = places[last] + 1
        # Between two line ends only separators are left.
        separators = np.diff(last, prepend=-1) - 1
        within = int(np.searchsorted(stops, limit, side="right"))
        stops, separators = stops[:within], separators[:within]
        length = int(stops[-1]) if within else 0
        if self._final and not odd and length < len(codes):  # the last line has no end
            stops = np.append(stops, len(codes))
            separators = np.append(separators, len(kinds) - (int(last[-1]) + 1 if len(last) else 0))
        return _Ends(stops, separators, inner, odd)

    def _pieces(self, data: bytes, records: _Records, offset: int) -> Iterator[Block | Single]:
        """Yield valid records in blocks, others singly; `offset`: where `data` begins in the file's text."""
        starts, ends, stops, lines = records.starts, records.ends, records.stops, records.lines
        sound = ~(records.blank | records.wrong | records.broken)
        borders = np.flatnonzero(np.diff(sound, prepend=~sound[:1], append=~sound[-1:]))
        for low, high in pairwise(borders.tolist()):
            if sound[low]:
                first, end = int(starts[low]), int(stops[high - 1])
                newline = _newline(data, ends[low:high], stops[low:high])
                multiline = bool(records.inner[low:high].any())
                yield Block(
                    offset + first, data[first:end], starts[low:high] - first,
                    ends[low:high] - first, lines[low:high], newline, multiline,
                )  # fmt: skip
                continue
            for place in range(low, high):
                if not records.blank[place]:
                    raw = data[starts[place] : ends[place]]
                    fields = self.dialect.fields(raw.decode("utf-8", "surrogateescape"))
                    reason = WRONG_FIELDS if records.wrong[place] else self.encoding_reason
                    yield self._single(int(lines[place]), raw, fields, reason)


def _without_types(names: list[str]) -> list[str]:
    """Strip RecBole's types, such as `user_id:token`, if all names have one."""
    matches = [_RECBOLE_COLUMN.fullmatch(name) for name in names]
    return [match[1] for match in matches if match] if all(matches) else names


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _no_line_end(data: bytes, start: int) -> bool:
    stop = start + MAX_RECORD_BYTES + 1
    return data.find(b"\n", start, stop) < 0 and data.find(b"\r", start, stop) < 0


def _parity(marks: np.ndarray) -> np.ndarray:
    """Compute the parity of the number of marks up to and including each index, [n] uint8."""
    return np.cumsum(marks, dtype=np.uint8) & 1


def _undecodable(data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Mask the records that are not UTF-8, [n] bool."""
    if data.isascii() or _is_utf8(data):
        return np.zeros(len(starts), dtype=bool)
    invalid = np.empty(len(starts), dtype=bool)
    for low in range(0, len(starts), _CHUNK):
        part = slice(low, low + _CHUNK)
        pairs = zip(starts[part].tolist(), ends[part].tolist(), strict=True)
        invalid[part] = [not _is_utf8(data[start:end]) for start, end in pairs]
    return invalid


def _text_ends(data: bytes, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Find where the records' texts end: before LF, CR or CR LF, [n]."""
    codes = np.frombuffer(data, dtype=np.uint8)
    last = codes[stops - 1]
    ended = (last == _LF) | (last == _CR)
    pair = (last == _LF) & (stops - 2 >= starts) & (codes[np.maximum(stops - 2, 0)] == _CR)
    return stops - ended - pair


def _newline(data: bytes, ends: np.ndarray, stops: np.ndarray) -> bytes | None:
    """Return the common line end, ignoring a last record without one; None if they differ."""
    lengths = stops - ends
    if not lengths[-1]:
        ends, lengths = ends[:-1], lengths[:-1]
    if not len(ends):
        return b""
    kinds = np.frombuffer(data, dtype=np.uint8)[ends]
    if (lengths == lengths[0]).all() and (kinds == kinds[0]).all():
        return data[ends[0] : ends[0] + lengths[0]]
    return None

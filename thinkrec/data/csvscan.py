"""The records of a CSV file or of another table of text, each with its line number, told sound or not.

What DuckDB reads must be sound, since it drops surplus fields, loses count of lines at blank lines and mixed
line ends, and gives up the whole file for one bad byte. So blocks of some megabytes are checked as arrays:
where quotes open and close, where records end, how many fields each has. Python's parser reads only the
records whose quotes are not as RFC 4180 has them.
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
from thinkrec.data.dialect import LONGEST, MOST_FIELDS, Dialect
from thinkrec.data.unpack import read_utf8
from thinkrec.errors import DataError

BLOCK = 1 << 22
"""Bytes looked at at once."""
WRONG_FIELDS = "wrong number of fields"
BROKEN_QUOTES = "broken quotes"
_LF, _CR = 10, 13
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_AT_ONCE = 100_000
"""Records whose places are Python's numbers at once."""
_GUESSED = 200
"""Characters of a field that is told by guess."""
_TYPED = re.compile(r"(.+):(?:token|float)(?:_seq)?")


class Block(NamedTuple):
    """Sound records, one behind the other as they stand in the file; n of them.

    Args:
        at: where they begin in the file's UTF-8 text.
        data: their bytes, UTF-8.
        starts: where each begins in `data`, [n].
        ends: where its text ends, before the line end, [n].
        lines: number of its first line, [n], from 1.
        newline: the line end of all; b"" where the only one has none, None where they differ.
        several: some record has several lines.
    """

    at: int
    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    newline: bytes | None
    several: bool

    def text(self, place: int) -> str:
        """One record as it stands in the file."""
        return self.data[self.starts[place] : self.ends[place]].decode("utf-8")


class Single(NamedTuple):
    """A record that does not go to DuckDB as it stands: not sound, or sound but oddly quoted.

    Args:
        line: number of its first line, from 1.
        text: as it stands in the file, undecodable bytes replaced.
        fields: as far as they can be told, at most MOST_FIELDS + 1.
        reason: why it can't be used; None: it can.
    """

    line: int
    text: str
    fields: list[str]
    reason: str | None


class _MoreError(Exception):
    """The record at hand goes on behind the data at hand."""


class _LongError(Exception):
    """A line has more than LONGEST bytes."""


class _Lines:
    """Lines for Python's parser, which remembers those of the record at hand.

    A record of more than LONGEST bytes is none: the parser's error says so.
    """

    def __init__(self, data: bytes, start: int, final: bool) -> None:
        self._data, self._at, self._final = data, start, final
        self.held: list[bytes] = []
        self._begin = start

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        found = _LINE.match(self._data, self._at)
        line = found[0] if found else b""
        self._at += len(line)
        if len(line) > LONGEST:
            raise _LongError
        if self._at - self._begin > LONGEST:
            raise csv.Error
        if not self._final:
            ended = line.endswith(b"\n") or (line.endswith(b"\r") and self._at < len(self._data))
            if not ended:
                raise _MoreError
        if not line:
            raise StopIteration
        self.held.append(line)
        return line.decode("utf-8", "surrogateescape")


class _Ends(NamedTuple):
    """Where records end.

    Args:
        stops: behind each record's line end, [n].
        separators: in each, [n].
        inner: places of line ends inside quotes.
        odd: a quote that stands where none may comes behind them, or one is never closed.
    """

    stops: np.ndarray
    separators: np.ndarray
    inner: np.ndarray
    odd: bool


class _Records(NamedTuple):
    """Records in some data, sound or not, n of them.

    Args:
        starts, ends, lines: as of `Block`.
        stops: behind each one's line end, [n].
        inner: line ends inside each one's quotes, [n].
        blank, wrong, broken: a blank line; another count of fields than the first record's; no UTF-8, [n].
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
        """Some of them."""
        return _Records(*(column[low:high] for column in self))


class Scan:
    """One pass over a file.

    Args:
        path: the file.
        dialect: how it is written.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        """Nothing is read yet."""
        self.path, self.dialect = path, dialect
        self.header: list[str] = []
        """Names of the columns, once `pieces` has given something or ended; [] where there are none."""
        self.first = b""
        """The file up to the end of its first record that is no blank line, line end included."""
        self._width = 0
        self._started = self._final = False
        self._data = b""
        self._at = self._behind = 0  # place in the data; bytes before the data
        self._line = 1
        self._in_vain = 0
        mark = dialect.separator.encode()
        # 0xFF and 0xFE stand in no UTF-8 text: they take the place of a separator of several bytes.
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
    def not_encoded(self) -> str:
        """Reason of records with bytes that are not in the encoding."""
        return f"not {self.dialect.encoding.upper()}"

    @property
    def length(self) -> int:
        """Bytes read off the file's UTF-8 text."""
        return self._behind + self._at

    def pieces(self) -> Iterator[Block | Single]:
        """All records behind the header, in the file's order; blank lines are left out.

        The first record tells how many fields each must have.

        Raises:
            DataError: the packed stream is broken, or a line is longer than any record may be.
        """
        blocks = read_utf8(self.path, self.dialect.encoding, BLOCK)
        following: bytes | None = next(blocks, b"")
        while following is not None:
            block, following = following, next(blocks, None)
            self._behind += self._at
            self._data, self._at = self._data[self._at :] + block, 0
            self._final = following is None
            if self._started or self._begin():
                yield from self._cut_all()
            if len(self._data) - self._at > LONGEST and _no_line_end(self._data, self._at):
                raise too_long(self.path, LONGEST, self._line)

    def _begin(self) -> bool:
        """Read the first record, which names the columns; False where more bytes are needed for that."""
        start, line, single = self._at, self._line, None
        while single is None or (single.reason == BROKEN_QUOTES and not self.dialect.header):
            try:
                held, single = self._record()
            except _MoreError:
                self._at, self._line = start, line
                return False
            if not held:
                self._at, self._line = start, line
                return self._final and not self.dialect.header
        self._started = True
        fields = [] if single.reason == BROKEN_QUOTES else single.fields
        self._width = len(fields)
        if self.dialect.header:
            self.first = self._data[: self._at]
            self.header = _untyped([name.strip() for name in fields])
        else:
            self.header = [str(place + 1) for place in range(self._width)]
            self._at, self._line = start, line
        return True

    def _record(self) -> tuple[int, Single | None]:
        """Read the next record by Python's parser: its bytes, and the record, None where it is a blank line.

        Of a broken one that has several lines only the first is given up: one stray quote would otherwise
        swallow the file up to the next.

        Raises:
            _MoreError: it goes on behind the data at hand.
        """
        lines = _Lines(self._data, self._at, self._final)
        reason, fields = None, list[str]()
        if self.dialect.quote:
            try:
                fields = next(self.dialect.reader(lines), [])[: MOST_FIELDS + 1]
            except csv.Error:
                reason = BROKEN_QUOTES
            except _LongError:
                raise too_long(self.path, LONGEST, self._line + len(lines.held)) from None
        elif text := self._line_of(lines).rstrip("\r\n"):
            fields = self.dialect.fields(text)
        if reason is None and self._width and fields and len(fields) != self._width:
            reason = WRONG_FIELDS if len(lines.held) == 1 else BROKEN_QUOTES
        held = lines.held[:1] if reason else lines.held
        raw, line = b"".join(held), self._line
        self._refuse_in_vain(sum(map(len, lines.held)) - len(raw))
        self._at += len(raw)
        self._line += len(held)
        blank = not fields and reason is None
        return len(raw), None if blank else self._single(line, raw.rstrip(b"\r\n"), fields, reason)

    def _refuse_in_vain(self, more: int) -> None:
        """Count bytes that will be parsed again; give up where each line's quotes lead far on.

        A stray quote leads to the next one at most, so that strays alone parse no byte twice again.
        """
        self._in_vain += more
        if more and self._in_vain > max(2 * LONGEST, 10 * self.length):
            raise DataError(
                f"{self.path}, line {self._line:,}: too many broken quotes: correct them, or set the data "
                "set's `quote`"
            )

    def _line_of(self, lines: _Lines) -> str:
        try:
            return next(lines, "")
        except _LongError:
            raise too_long(self.path, LONGEST, self._line) from None

    def _single(self, line: int, raw: bytes, fields: list[str], reason: str | None) -> Single:
        if reason == BROKEN_QUOTES:  # a guess: an id in front of the odd quote is right
            text = raw.decode("utf-8", "surrogateescape")
            parts = text.split(self.dialect.separator, MOST_FIELDS + 1)[: MOST_FIELDS + 1]
            fields = [each.strip(self.dialect.quote)[:_GUESSED] for each in parts]
        known = [each.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for each in fields]
        if reason is None and not _is_utf8(raw):
            reason = self.not_encoded
        return Single(line, raw.decode("utf-8", "replace"), known, reason)

    def _cut_all(self) -> Iterator[Block | Single]:
        """The records of the data at hand, but for one that may go on behind it."""
        pieces, odd = self._cut()
        yield from pieces
        while odd and self._at < len(self._data):
            odd = yield from self._by_lines()

    def _by_lines(self) -> Generator[Block | Single, None, bool]:
        """Some records from an oddly placed quote on: sound lines as they are, others by the parser.

        A line with sound, closed quotes is a record wherever one begins there.

        Returns:
            Whether more may follow in the data at hand.
        """
        base, first = self._at, self._line
        data = self._data[base : self._window(base)]
        final = self._final and base + len(data) == len(self._data)
        codes, places, kinds = self._marks(data)
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
        odd = (np.bincount(line[quotes], minlength=len(stops)) & 1).astype(bool) | (stops - starts > LONGEST)
        odd[line[quotes][self._misplaced(codes, where, depth[quotes] == 1)]] = True
        between = ~quotes & (kinds != _LF) & (kinds != _CR) & (depth == 0)
        separators = np.bincount(line[between], minlength=len(stops))
        ends = _texts_end(data, starts, stops)
        blank = ends == starts
        wrong = (separators != self._width - 1) & ~blank
        lines, none = first + np.arange(len(stops)), np.zeros(len(stops), dtype=np.int64)
        broken = _undecodable(data[: int(stops[-1])], starts, ends)
        records = _Records(starts, ends, stops, lines, none, blank, wrong, broken)
        borders, done = np.concatenate([[0], stops]), 0
        for place in [*np.flatnonzero(odd).tolist(), len(stops)]:
            if place < done:  # it was inside a record of several lines
                continue
            if self._at - base > borders[place]:  # the last record goes on behind these lines
                break
            if place > done:
                yield from self._runs(data, records.part(done, place), self._behind + base)
            self._at, self._line = base + int(borders[place]), first + place
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

    def _window(self, start: int) -> int:
        """Where lines end that are judged at once: about a block of them, or a longer line."""
        stop = start + BLOCK
        if stop >= len(self._data):
            return len(self._data)
        ended = self._data.rfind(b"\n", start, stop)
        if ended < 0:
            ended = self._data.find(b"\n", stop)
        return len(self._data) if ended < 0 else ended + 1

    def _cut(self) -> tuple[Iterator[Block | Single], bool]:
        """Take records off the data as arrays, up to the first that needs Python's parser.

        Returns:
            The records, and whether one that needs the parser comes next.
        """
        data = self._data[self._at :] if self._at else self._data
        found = self._ends(data)
        stops, separators = found.stops, found.separators
        starts = np.concatenate([[0], stops[:-1]])[: len(stops)]
        inner = np.bincount(np.searchsorted(stops, found.inner, side="right"), minlength=len(stops) + 1)[:-1]
        ends = _texts_end(data, starts, stops)
        blank = ends == starts
        wrong = (separators != self._width - 1) & ~blank
        hard = np.flatnonzero((wrong & (inner > 0)) | (stops - starts > LONGEST))
        count = int(hard[0]) if len(hard) else len(stops)
        starts, ends, stops, inner = starts[:count], ends[:count], stops[:count], inner[:count]
        length = int(stops[-1]) if count else 0
        lines = self._line + np.arange(count) + np.cumsum(inner) - inner
        broken = _undecodable(data[:length], starts, ends)
        records = _Records(starts, ends, stops, lines, inner, blank[:count], wrong[:count], broken)
        pieces = self._runs(data, records, self._behind + self._at)
        self._at += length
        self._line += count + int(inner.sum())
        odd = len(hard) > 0 or found.odd or len(data) - length > LONGEST
        return pieces, odd

    def _marks(self, data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The bytes, long separators marked; places of separators, quotes, line ends; what stands there."""
        marked = data
        if self._mark is not None:
            marked = data.replace(self._mark, b"\xff" + b"\xfe" * (len(self._mark) - 1))
        codes = np.frombuffer(marked, dtype=np.uint8)
        places = np.flatnonzero(self._special[codes]).astype(np.int32)
        kinds = codes[places]
        if b"\r" in data:  # a CR before a LF ends nothing by itself
            after = codes[np.minimum(places + 1, len(codes) - 1)]
            joined = (kinds == _CR) & (after == _LF) & (places + 1 < len(codes))
            undecided = (kinds == _CR) & (places + 1 == len(codes)) & (not self._final)
            places, kinds = places[~(joined | undecided)], kinds[~(joined | undecided)]
        return codes, places, kinds

    def _misplaced(self, codes: np.ndarray, where: np.ndarray, opens: np.ndarray) -> np.ndarray:
        """Which quotes, at `where`, stand where none may open or close a field."""
        before = np.where(where > 0, codes[where - 1], _LF)
        after = np.where(where + 1 < len(codes), codes[np.minimum(where + 1, len(codes) - 1)], _LF)
        return ~np.where(opens, self._may_open[before], self._may_close[after])

    def _ends(self, data: bytes) -> _Ends:
        """Where the records of some data end, up to the first oddly placed quote."""
        codes, places, kinds = self._marks(data)
        inner, odd, limit = places[:0], False, len(codes)
        if self._quote is not None and self.dialect.quote.encode() in data:
            quotes = kinds == self._quote
            depth = _parity(quotes)
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
        separators = np.diff(last, prepend=-1) - 1
        within = int(np.searchsorted(stops, limit, side="right"))
        stops, separators = stops[:within], separators[:within]
        length = int(stops[-1]) if within else 0
        if self._final and not odd and length < len(codes):  # the last line has no end
            stops = np.append(stops, len(codes))
            separators = np.append(separators, len(kinds) - (int(last[-1]) + 1 if len(last) else 0))
        return _Ends(stops, separators, inner, odd)

    def _runs(self, data: bytes, records: _Records, at: int) -> Iterator[Block | Single]:
        """Sound records in blocks, others one by one; `at`: where the data begin in the file's text."""
        starts, ends, stops, lines = records.starts, records.ends, records.stops, records.lines
        sound = ~(records.blank | records.wrong | records.broken)
        borders = np.flatnonzero(np.diff(sound, prepend=~sound[:1], append=~sound[-1:]))
        for low, high in pairwise(borders.tolist()):
            if sound[low]:
                begin, end = int(starts[low]), int(stops[high - 1])
                newline = _newline(data, ends[low:high], stops[low:high])
                several = bool(records.inner[low:high].any())
                yield Block(
                    at + begin, data[begin:end], starts[low:high] - begin,
                    ends[low:high] - begin, lines[low:high], newline, several,
                )  # fmt: skip
                continue
            for place in range(low, high):
                if not records.blank[place]:
                    raw = data[starts[place] : ends[place]]
                    fields = self.dialect.fields(raw.decode("utf-8", "surrogateescape"))
                    reason = WRONG_FIELDS if records.wrong[place] else self.not_encoded
                    yield self._single(int(lines[place]), raw, fields, reason)


def _untyped(names: list[str]) -> list[str]:
    """Names without RecBole's types, such as `user_id:token`, where all have one."""
    typed = [_TYPED.fullmatch(name) for name in names]
    return [found[1] for found in typed if found] if all(typed) else names


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _no_line_end(data: bytes, start: int) -> bool:
    stop = start + LONGEST + 1
    return data.find(b"\n", start, stop) < 0 and data.find(b"\r", start, stop) < 0


def _parity(marks: np.ndarray) -> np.ndarray:
    """Whether up to each place, it included, there is an odd count of marks, [n]."""
    return np.cumsum(marks, dtype=np.uint8) & 1


def _undecodable(data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which records are no UTF-8, [n]."""
    if data.isascii() or _is_utf8(data):
        return np.zeros(len(starts), dtype=bool)
    found = np.empty(len(starts), dtype=bool)
    for low in range(0, len(starts), _AT_ONCE):
        part = slice(low, low + _AT_ONCE)
        pairs = zip(starts[part].tolist(), ends[part].tolist(), strict=True)
        found[part] = [not _is_utf8(data[start:end]) for start, end in pairs]
    return found


def _texts_end(data: bytes, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Where the records' texts end: before a LF, CR or CR LF, [n]."""
    codes = np.frombuffer(data, dtype=np.uint8)
    last = codes[stops - 1]
    ended = (last == _LF) | (last == _CR)
    pair = (last == _LF) & (stops - 2 >= starts) & (codes[np.maximum(stops - 2, 0)] == _CR)
    return stops - ended - pair


def _newline(data: bytes, ends: np.ndarray, stops: np.ndarray) -> bytes | None:
    """The line end that all records have, but for a last one without; None where they differ."""
    lengths = stops - ends
    if not lengths[-1]:
        ends, lengths = ends[:-1], lengths[:-1]
    if not len(ends):
        return b""
    kinds = np.frombuffer(data, dtype=np.uint8)[ends]
    if (lengths == lengths[0]).all() and (kinds == kinds[0]).all():
        return data[ends[0] : ends[0] + lengths[0]]
    return None

"""The prepared tables as NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from thinkrec.errors import ConfigError, DataError
from thinkrec.protocols import Protocol

SPLITS = ("train", "valid", "test")
Split = Literal["train", "valid", "test"]
HistoryItems = Literal["all", "liked"]


def read_columns(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of a Parquet file; `read_table` would import pandas, which takes a second."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)


def plain(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Convert a numeric column without nulls to an array; pyarrow's `to_numpy` would import pandas."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.from_dlpack(array)


@dataclass(frozen=True, eq=False)
class Interactions:
    """All interactions of a data set, sorted by user and time.

    Shapes: N rows. Row numbers index these arrays.

    Args:
        user_id: [N] int64, dense from 1.
        item_id: [N] int64, dense from 1.
        label: [N] int64, 1 liked, 0 not.
        timestamp: [N] int64, nanoseconds since 1970, UTC, at the source's precision.
        position: [N] int64, index in the user's sequence, 0, 1, 2, ...
        split: [N] int8, index into SPLITS.
        not_cold: [N] bool, whether user and item both occur in train.
    """

    user_id: np.ndarray
    item_id: np.ndarray
    label: np.ndarray
    timestamp: np.ndarray
    position: np.ndarray
    split: np.ndarray
    not_cold: np.ndarray

    @classmethod
    def load(cls, path: Path) -> Interactions:
        """Read interactions.parquet.

        Raises:
            DataError: an older version of thinkrec wrote it, with timestamps as plain numbers.
        """
        names = ["user_id", "item_id", "label", "timestamp", "position"]
        table = read_columns(path, [*names, "split", "not_cold"])
        if not pa.types.is_timestamp(table["timestamp"].type):
            raise DataError(f"{path} was written by another version of thinkrec: run `thinkrec prep` again")
        table = table.set_column(3, "timestamp", table["timestamp"].cast(pa.timestamp("ns")).cast(pa.int64()))
        splits = table["split"].dictionary_encode().combine_chunks()
        codes = np.array([SPLITS.index(name) for name in splits.dictionary.to_pylist()], dtype=np.int8)
        columns = {name: plain(table[name]).astype(np.int64) for name in names}
        not_cold = plain(table["not_cold"].cast(pa.int8())).astype(bool)
        return cls(**columns, split=codes[plain(splits.indices)], not_cold=not_cold)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.user_id)

    def rows(self, split: Split) -> np.ndarray:
        """Return the row numbers of a split, [n] int64, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    @cached_property
    def users(self) -> int:
        """Highest user_id; tables by user have one more row, 0 for padding."""
        return int(self.user_id.max(initial=0))

    @cached_property
    def start(self) -> np.ndarray:
        """First row of each user_id, [users + 2]; the last entry is the number of rows."""
        return np.searchsorted(self.user_id, np.arange(self.users + 2))

    def row_of(self, user: ArrayLike, position: ArrayLike) -> np.ndarray:
        """Find the row number of each (user_id, position), [n] int64; -1 if there is none."""
        user, position = (np.asarray(each, dtype=np.int64) for each in (user, position))
        row = self.start[user.clip(0, self.users + 1)] + position
        result = np.full(row.shape, -1)
        in_range = np.flatnonzero((row >= 0) & (row < len(self)))
        candidates = row[in_range]
        matches = (self.user_id[candidates] == user[in_range]) & (
            self.position[candidates] == position[in_range]
        )
        result[in_range[matches]] = candidates[matches]
        return result

    def _ends(self, protocol: Protocol) -> np.ndarray:
        """Row after each row's history, [N]; see `history`.

        Raises:
            ConfigError: splits do not follow each other in each user's sequence, and the protocol needs that.
        """
        rows = np.arange(len(self))
        if protocol == "rolling":
            return rows
        return self._train_end if protocol == "train" else self._split_start

    @cached_property
    def _train_end(self) -> np.ndarray:
        """Row after the last train row before each row, of the same user, [N]."""
        rows = np.arange(len(self))
        train = np.bincount(self.user_id, weights=self._in_order == 0, minlength=self.users + 1)
        return np.minimum(rows, rows - self.position + train.astype(np.int64)[self.user_id])

    @cached_property
    def _split_start(self) -> np.ndarray:
        """First row of each row's user and split, [N]; of a train row the row itself."""
        rows = np.arange(len(self))
        start = rows - self.position
        for code in range(1, len(SPLITS)):
            earlier = np.bincount(self.user_id, weights=self._in_order < code, minlength=self.users + 1)
            start[self.split == code] += earlier.astype(np.int64)[self.user_id[self.split == code]]
        return np.where(self.split == 0, rows, start)

    @property
    def _in_order(self) -> np.ndarray:
        """The splits, which follow each other in each user's sequence, [N].

        Raises:
            ConfigError: they do not.
        """
        if np.any((self.split[1:] < self.split[:-1]) & (self.position[1:] > 0)):
            raise ConfigError(
                "the protocols frozen and train need splits that follow each other in each user's sequence; "
                "this data set was split at random: set `choose_by: rolling` and `evaluate.protocols: "
                "[rolling]` in params.yaml, or choose another split.rule"
            )
        return self.split

    def asked(self, rows: np.ndarray, protocol: Protocol) -> np.ndarray:
        """Return for each row, [n], a row with the same history: one for all that share it."""
        return self._ends(protocol)[rows]

    def moments(self, protocol: Protocol) -> np.ndarray:
        """Return when each row's item is asked about, [N] nanoseconds since 1970.

        `frozen`: all rows of a user and split at one moment, the first row's. Otherwise each at its own.
        """
        return self.timestamp[self._split_start] if protocol == "frozen" else self.timestamp

    @cached_property
    def _likes(self) -> np.ndarray:
        """Row numbers of all likes, ascending."""
        return np.flatnonzero(self.label == 1)

    def history(
        self, row: int, length: int, protocol: Protocol = "rolling", items: HistoryItems = "all"
    ) -> np.ndarray:
        """Return the row numbers of the user's latest `length` interactions before `row`, oldest first.

        `rolling`: all earlier interactions of any split. `frozen`: those before the row's split begins, for
        test train's and valid's, so that all of a user's candidates share one history; a train row has its
        rolling one. `train`: train's only. None holds the row itself or anything after it. With `items`
        liked, the latest `length` likes.
        """
        if items == "liked":
            likes = self.histories(np.array([row]), length, protocol, items)[0]
            return likes[likes >= 0]
        end = int(self._ends(protocol)[row])
        start = row - int(self.position[row])
        return np.arange(max(start, end - length), end)

    def histories(
        self, rows: np.ndarray, length: int, protocol: Protocol = "rolling", items: HistoryItems = "all"
    ) -> np.ndarray:
        """Return the histories of many rows: [n, length] row numbers, padded on the left with -1."""
        end = self._ends(protocol)[rows]
        start = rows - self.position[rows]
        # [n, length]: the `length` rows before each end; rows before the user's first become padding.
        places = np.arange(-length, 0)[None, :]
        if items == "all":
            index = end[:, None] + places
            return np.where(index >= start[:, None], index, -1)
        likes = np.append(self._likes, -1)  # never empty
        # Of each row, how many likes lie before its history's end and before its user's first row.
        last, first = (np.searchsorted(self._likes, each)[:, None] for each in (end, start))
        index = last + places
        return np.where(index >= first, likes[index.clip(0)], -1)


def sample_rows(rows: np.ndarray, size: int, seed: int) -> np.ndarray:
    """At most `most` of these rows, ascending, the same for the same seed."""
    if len(rows) <= size:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, size, replace=False))


@dataclass(frozen=True)
class Items:
    """Item texts by item_id; row 0 is padding.

    Args:
        title: I + 1 strings.
        keywords: I + 1 lists of keywords, maybe empty.
        raw_id: I + 1 ids of the raw files; empty if not needed.
    """

    title: list[str]
    keywords: list[list[str]]
    raw_id: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, items: Path, keywords: Path | None = None) -> Items:
        """Read items.parquet and, if given, keywords.parquet."""
        table = read_columns(items, ["item_id", "title", "raw_id"]).to_pydict()
        size = max(table["item_id"], default=0) + 1
        title, raw_id = [""] * size, [""] * size
        for item, text, raw in zip(*(table[name] for name in ("item_id", "title", "raw_id")), strict=True):
            title[item], raw_id[item] = text or "", raw
        words: list[list[str]] = [[] for _ in range(size)]
        if keywords is not None:
            keyword_table = read_columns(keywords, ["item_id", "keywords"]).to_pydict()
            for item, item_keywords in zip(keyword_table["item_id"], keyword_table["keywords"], strict=True):
                words[item] = list(item_keywords or [])
        return cls(title, words, raw_id)


def load_user_ids(users: Path) -> list[str]:
    """Read users.parquet: U + 1 raw ids by user_id; row 0 is padding."""
    table = read_columns(users, ["user_id", "raw_id"]).to_pydict()
    ids = [""] * (max(table["user_id"], default=0) + 1)
    for user, raw in zip(table["user_id"], table["raw_id"], strict=True):
        ids[user] = raw
    return ids

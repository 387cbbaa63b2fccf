"""The data behind the tools, cut off at a moment: nothing at or after it is read, of any user."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from thinkrec.data.tables import SPLITS, Interactions, Items, Split
from thinkrec.errors import DataError
from thinkrec.prompts.escape import bounded, folded, without
from thinkrec.prompts.guard import Guard
from thinkrec.protocols import Protocol

LONGEST = 120  # maximum length of an untrusted text, in characters
_SEMICOLON = re.compile(";")


@dataclass(frozen=True)
class Edges:
    """Lists of integers by item, in CSR form: the list of item i is `values[starts[i] : starts[i + 1]]`."""

    starts: np.ndarray
    values: np.ndarray

    def of(self, item: int) -> np.ndarray:
        """Return the list of one item."""
        values: np.ndarray = self.values[self.starts[item] : self.starts[item + 1]]
        return values


@dataclass(frozen=True)
class Graph:
    """The knowledge graph. Shapes: A attributes.

    Args:
        names: of the attributes, [A], as `relation: value`.
        attributes: of each item, as indices into `names`.
        related: items liked together with each item in train, the most frequent first.
    """

    names: list[str]
    attributes: Edges
    related: Edges


def load_graph(graph: Path, keywords: Path, items: int) -> Graph:
    """Read graph.parquet and keywords.parquet with DuckDB; keywords are attributes too.

    Args:
        graph: file with columns item_id, relation, value, other_id, weight.
        keywords: file with columns item_id, keywords.
        items: highest item_id.

    Raises:
        DataError: DuckDB cannot read them.
    """
    sql = (resources.files(__package__) / "graph.sql").read_text(encoding="utf-8")
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET VARIABLE graph = ?", [str(graph)])
        connection.execute("SET VARIABLE keywords = ?", [str(keywords)])
        try:
            connection.execute(sql)
        except duckdb.Error as error:
            raise DataError(
                f"{graph} or {keywords} is damaged ({str(error).splitlines()[0]}): run `thinkrec prep` and "
                "`thinkrec summarize` again"
            ) from error
        names = [name for (name,) in connection.execute("SELECT name FROM names ORDER BY code").fetchall()]
        pairs = [
            connection.execute(f"SELECT item_id, value FROM {table} ORDER BY item_id, place").fetchnumpy()
            for table in ("attributes", "related")
        ]
    return Graph(names, *(_edges(columns["item_id"], columns["value"], items) for columns in pairs))


def _edges(item: np.ndarray, value: np.ndarray, items: int) -> Edges:
    """Return (item, value) pairs, sorted by item, in CSR form; items above `items` are dropped."""
    known = item <= items
    # Index i of the first result is where item i's values begin; i + 1 is where they end.
    return Edges(np.searchsorted(item[known], np.arange(items + 2)), np.asarray(value[known], dtype=np.int64))


def _kept(data: Interactions, rows: np.ndarray) -> Interactions:
    """Return some rows, ascending; row numbers and positions are those among them."""
    columns = {each.name: getattr(data, each.name)[rows] for each in fields(data)}
    first = np.searchsorted(columns["user_id"], columns["user_id"])
    return Interactions(**columns | {"position": np.arange(len(rows)) - first})


class Knowledge:
    """The data of all users behind the tools; each query names its moment.

    Args:
        data: the interactions.
        items: titles and keywords.
        descriptions: of each item, index 0 being padding.
        graph: attributes and related items.
        vectors: of users, [U + 1, d] float32, trained on rows before any queried moment; zero if unknown.
        guard: breaks the model's special tokens in every text.
    """

    def __init__(
        self,
        data: Interactions,
        items: Items,
        descriptions: Sequence[str],
        graph: Graph,
        vectors: np.ndarray,
        guard: Guard | None = None,
    ) -> None:
        """Sort the interactions by item."""
        self.items, self.graph, self.descriptions = items, graph, descriptions
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
        self._guard = guard or Guard()
        self._sort(data)

    def quoted(self, outside: str) -> str:
        """Return an untrusted text as tools show it: one short line in double quotes, without "; ".

        Tools separate items with "; ".
        """
        text = self._guard(bounded(outside, LONGEST))
        if "; " in folded(text):
            text = self._guard(without(_SEMICOLON, text, ","))
        return f'"{text}"'

    def title(self, item: int) -> str:
        """Return an item's title in double quotes."""
        return self.quoted(self.items.title[item])

    def attribute(self, number: int) -> str:
        """Return an attribute's value as a list entry, quoted if it could be read as more than one."""
        return self._guard.entry(self.graph.names[number].partition(": ")[2]) or '""'

    def under(self, protocol: Protocol, split: Split) -> Knowledge:
        """Return what may be known under a protocol when rows of a split are ranked.

        Under frozen and train no row of the split is known, of any user; under train none of valid either.
        """
        last = {"rolling": len(SPLITS), "frozen": SPLITS.index(split), "train": 1}[protocol]
        if last == len(SPLITS):
            return self
        other = copy(self)
        other._sort(_kept(self.data, np.flatnonzero(self.data.split < last)))
        return other

    def _sort(self, data: Interactions) -> None:
        self.data = data
        self._by_item = np.lexsort((data.timestamp, data.item_id))
        self._item = np.searchsorted(data.item_id[self._by_item], np.arange(len(self.items.title) + 1))
        self._times = data.timestamp[self._by_item]

    def past(self, user: int, moment: int) -> np.ndarray:
        """Return row numbers of the user's interactions before the moment, oldest first."""
        start, stop = self.data.start[user], self.data.start[user + 1]
        return np.arange(start, start + np.searchsorted(self.data.timestamp[start:stop], moment))

    def interactions_with(self, item: int, moment: int) -> np.ndarray:
        """Return row numbers of all users' interactions with the item before the moment, oldest first."""
        start, stop = self._item[item], self._item[item + 1]
        end = start + np.searchsorted(self._times[start:stop], moment)
        rows: np.ndarray = self._by_item[start:end]
        return rows

    def similarity(self, user: int, others: np.ndarray) -> np.ndarray:
        """Return the squared cosine similarity of the user to others, 0 where the cosine is negative, [n]."""
        return np.square(np.maximum(self.vectors[others] @ self.vectors[user], 0))

    def verdicts(self, rows: np.ndarray) -> tuple[Counter[int], Counter[int]]:
        """Count how often each attribute was liked and disliked in these interactions."""
        counts: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
        for item, label in zip(self.data.item_id[rows].tolist(), self.data.label[rows].tolist(), strict=True):
            counts[1 - label].update(self.graph.attributes.of(item).tolist())
        return counts


def descriptions(path: Path, items: int) -> list[str]:
    """Read the description of each item, "" where there is none; index 0 is padding."""
    table = pq.read_table(path, columns=["item_id", "description"]).to_pydict()
    texts = [""] * (items + 1)
    for item, text in zip(table["item_id"], table["description"], strict=True):
        texts[item] = text or ""
    return texts

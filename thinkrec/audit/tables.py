"""The tables of prep: made again from the raw files, if present, and checked for consistency."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.interactions import AGAIN
from thinkrec.config.sections import Prep
from thinkrec.config.sources import Source
from thinkrec.data.database import connect, rows, run_sql, text_in_sql
from thinkrec.data.graph import make_graph
from thinkrec.data.prepare import prepare
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout

TABLES = ("interactions", "items", "users", "graph", "truth", "quarantine")
RAW = "what prep makes of the raw files"
_MEMORY = "1GB"
_CITY = "SELECT item_id, any_value(value) AS city FROM graph_on_disk WHERE relation = 'city' GROUP BY item_id"


def check_raw(layout: Layout, source: Source | None, prep: Prep) -> list[Check]:
    """Run prep again in another folder and compare all tables.

    Args:
        layout: paths of the tables.
        source: the data set's entry in params.yaml, None if it has none.
        prep: the section `prep`.
    """
    why = _no_raw(layout, source)
    if source is None or why:
        return [skipped(name, RAW, why) for name in TABLES if getattr(layout, name).exists()]
    raw = str((layout.root / source.raw).absolute())
    with TemporaryDirectory() as folder:
        again = Layout(layout.dataset, Path(folder))
        prepare(again, source.model_copy(update={"raw": raw}), prep)
        return [
            _compared(name, getattr(layout, name), getattr(again, name))
            for name in TABLES
            if getattr(layout, name).exists()
        ]


def _no_raw(layout: Layout, source: Source | None) -> str:
    if source is None:
        return f"params.yaml does not name {layout.dataset}, so that its raw files are not known"
    if "://" in source.raw:
        return f"the raw files are elsewhere, and prep would have to load them again: {AGAIN} to prove it"
    folder = layout.root / source.raw
    return "" if folder.is_dir() else f"{folder}, with the raw files, is not there"


def _compared(name: str, ours: Path, theirs: Path) -> Check:
    one, other = pq.read_table(ours), pq.read_table(theirs)
    faults = []
    if one.schema != other.schema:
        faults.append(f"{ours.name} has other columns")
    elif len(one) != len(other):
        faults.append(f"{ours.name} has {len(one):,} rows, not {len(other):,}")
    else:
        wrong = [key for key in one.column_names if not one[key].equals(other[key])]
        faults += [f"{ours.name} differs in {', '.join(wrong)}"] if wrong else []
    advice = f"{AGAIN}, if params.yaml or the raw files have changed since"
    return judged(name, RAW, faults and [*faults, advice], f"{len(one):,} rows, all equal", rows=len(one))


def check_tables(layout: Layout, data: Interactions) -> list[Check]:
    """Check ids and keys of users, items and true probabilities against the interactions."""
    checks = []
    for name, column, ids in (("users", "user_id", data.user_id), ("items", "item_id", data.item_id)):
        path = getattr(layout, name)
        if path.exists():
            checks.append(_numbered(name, pq.read_table(path, columns=[column, "raw_id"]), column, ids))
    if layout.truth.exists():
        checks.append(_truth(layout, data))
    return checks


def _numbered(name: str, table: pa.Table, column: str, ids: np.ndarray) -> Check:
    """Check that ids are in the raw ids' natural order and have interactions, so none reveals a label."""
    number, raw = table[column].to_numpy(), table["raw_id"].to_pylist()
    faults = []
    if not np.array_equal(number, np.arange(1, len(number) + 1)):
        faults.append(f"{column} is not 1, 2, 3, ...")
    order = [(len(one), one) for one in map(str, raw)]
    wrong = next((k for k in range(1, len(order)) if order[k] <= order[k - 1]), None)
    faults += [f"raw ids are not in their order from {column} {wrong + 1} on"] if wrong else []
    odd = np.setxor1d(number, ids)
    faults += fault(
        len(odd), f"{name} have no interaction, or are not in the table", f"id {next(iter(odd), '')}"
    )
    summary = f"{len(number):,}, in the order of their raw ids"
    return judged(name, "numbered by raw id alone", faults and [*faults, AGAIN], summary)


def _truth(layout: Layout, data: Interactions) -> Check:
    """Check that true probabilities are of existing rows; their values only `check_raw` can check."""
    table = pq.read_table(layout.truth)
    user, position, item = (table[key].to_numpy() for key in ("user_id", "position", "item_id"))
    row = data.row_of(user, position)
    invalid = (row < 0) | (data.item_id[np.maximum(row, 0)] != item)
    faults = fault(int(invalid.sum()), "probabilities are of no row")
    share = table["probability"].to_numpy()
    faults += fault(int((~((share >= 0) & (share <= 1))).sum()), "are no probabilities")
    faults += ["a row has two"] if len(np.unique(row)) < len(row) else []
    summary = f"{len(row):,} rows; ceilings of the report only"
    return judged("truth", "of rows there are, one each", faults and [*faults, AGAIN], summary)


def check_graph(layout: Layout) -> Check:
    """Build the graph again from items and train's likes, and compare."""
    with TemporaryDirectory() as folder, connect(Path(folder) / "duckdb", _MEMORY) as connection:
        run_sql(connection, "contract")
        for name, path in (
            ("interactions", layout.interactions),
            ("read_items", layout.items),
            ("graph_on_disk", layout.graph),
        ):
            connection.execute(f"CREATE TABLE {name} AS FROM read_parquet({text_in_sql(str(path))})")
        # Cities are only in the graph.
        connection.execute(f"CREATE TABLE cities AS {_CITY}")
        cities = rows(connection, "SELECT count(*) AS n FROM cities")[0]["n"]
        made = "SELECT i.*, c.city FROM read_items AS i LEFT JOIN cities AS c USING (item_id)"
        connection.execute(f"CREATE TABLE items AS {made if cities else 'FROM read_items'}")
        make_graph(connection)
        counts = {
            key: rows(
                connection, f"SELECT relation, count(*) AS n FROM ({query}) GROUP BY relation ORDER BY ALL"
            )
            for key, query in (
                ("are not what items and train's likes give", "FROM graph_on_disk EXCEPT ALL FROM graph"),
                ("are missing", "FROM graph EXCEPT ALL FROM graph_on_disk"),
            )
        }
        total = rows(connection, "SELECT count(*) AS n FROM graph_on_disk")[0]["n"]
    faults = [
        f"{row['n']:,} triples of {row['relation']} {what}"
        for what, faulty in counts.items()
        for row in faulty
    ]
    summary = f"{total:,} triples, all equal" + (f"; {cities:,} cities as they are" if cities else "")
    return judged("graph", "of the items' texts and train's likes", faults and [*faults, AGAIN], summary)

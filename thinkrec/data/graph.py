"""The graph of items, made a part of the items at a time, so that memory does not grow with them."""

from __future__ import annotations

import duckdb

from thinkrec.data.database import rows, run_sql

ITEMS = 20_000
"""Items whose attributes are listed at once."""


def make_graph(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `graph` of `items` and `interactions`; see sql/graph.sql and the two beside it."""
    run_sql(connection, "graph")
    last = rows(connection, "SELECT coalesce(max(item_id), 0) AS last FROM items")[0]["last"]
    for first in range(1, last + 1, ITEMS):
        run_sql(connection, "graph_attributes", low=first, high=first + ITEMS - 1)
    run_sql(connection, "graph_links")

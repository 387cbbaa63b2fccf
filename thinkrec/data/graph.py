"""The item graph, built in chunks of items to bound memory."""

from __future__ import annotations

import duckdb

from thinkrec.data.database import rows, run_sql

ITEMS = 20_000
"""Items per chunk."""


def make_graph(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `graph` from `items` and `interactions`; see sql/graph*.sql."""
    run_sql(connection, "graph")
    last = rows(connection, "SELECT coalesce(max(item_id), 0) AS last FROM items")[0]["last"]
    for first in range(1, last + 1, ITEMS):
        run_sql(connection, "graph_attributes", low=first, high=first + ITEMS - 1)
    run_sql(connection, "graph_links")

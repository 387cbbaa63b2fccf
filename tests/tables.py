"""Prepared tables written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_interactions(path: Path, rows: pa.Table | list[dict[str, Any]]) -> None:
    """Write interactions.parquet; timestamps are nanoseconds."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    place = table.column_names.index("timestamp")
    moments = table["timestamp"].cast(pa.int64()).cast(pa.timestamp("ns"))
    pq.write_table(table.set_column(place, "timestamp", moments), path)

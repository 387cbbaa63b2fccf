"""Tables by hand, and changes to tables on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.audit.check import Check
from thinkrec.data.tables import Interactions

Row = dict[str, Any]


def made(
    user_id: np.ndarray, item_id: np.ndarray, label: np.ndarray, timestamp: np.ndarray, split: np.ndarray
) -> Interactions:
    """Interactions of rows that lie in the order of user and time; position and not_cold follow."""
    _, first, counts = np.unique(user_id, return_index=True, return_counts=True)
    position = np.arange(len(user_id)) - np.repeat(first, counts)
    warm = np.isin(user_id, user_id[split == 0]) & np.isin(item_id, item_id[split == 0])
    return Interactions(user_id, item_id, label, timestamp, position, split.astype(np.int8), warm)


def change(path: Path, how: Callable[[list[Row]], None]) -> None:
    """Change the rows of a Parquet file in place."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    how(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def claim(checks: Sequence[Check], words: str) -> Check:
    """The one check whose claim holds these words."""
    (found,) = [check for check in checks if words in check.claim]
    return found

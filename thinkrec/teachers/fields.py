"""Item metadata from items.parquet, whatever text columns the source has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from thinkrec.teachers.protocol import ItemFields

CATEGORY_COLUMNS = ("genres", "categories", "category", "brand", "attributes")


def _names(value: Any) -> tuple[str, ...]:
    """Split names into a tuple: from a list, or from a string with `|` (MovieLens) or commas (Yelp)."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split("|" if "|" in value else ",")
    return tuple(name.strip() for name in value if name and name.strip())


def load_fields(path: Path) -> tuple[list[int], list[ItemFields]]:
    """Read item_ids and the metadata of each item; missing columns are read as empty."""
    schema = pq.read_schema(path).names
    wanted = [name for name in ("item_id", "title", "description", *CATEGORY_COLUMNS) if name in schema]
    rows = pq.read_table(path, columns=wanted).to_pylist()
    fields = [
        ItemFields(
            title=row["title"] or "",
            description=row.get("description") or "",
            categories=tuple(name for column in CATEGORY_COLUMNS for name in _names(row.get(column))),
        )
        for row in rows
    ]
    return [row["item_id"] for row in rows], fields

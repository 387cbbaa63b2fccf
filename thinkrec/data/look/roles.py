"""The roles that columns play in a `custom` data set."""

from __future__ import annotations

from typing import Literal

Role = Literal[
    "user", "item", "rating", "label", "timestamp", "item_id", "title", "description", "categories"
]
EVENT_ROLES: tuple[Role, ...] = ("user", "item", "rating", "label", "timestamp")
ITEM_ROLES: tuple[Role, ...] = ("item_id", "title", "description", "categories")
"""Keys of `CustomSource` that name a column, of the events' file and of the items' file."""

"""Settings of a chat endpoint, and prepared tables made by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer
from tables import write_interactions

from thinkrec.config.sections import Endpoint
from thinkrec.layout import Layout


@pytest.fixture
def endpoint(server: ChatServer) -> Endpoint:
    return Endpoint(
        base_url=server.url, model="m", key_variable="THINKREC_TEST_KEY", concurrency=1, retries=1,
        timeout=10, max_tokens=100, max_tokens_step=50, max_tokens_limit=200,
    )  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Six users with five interactions each over six items; the last of each user is a test row."""
    made = Layout("small", tmp_path)
    made.data.mkdir(parents=True)
    rows = [
        {
            "user_id": user, "item_id": (user + position) % 6 + 1, "label": (user * position) % 2,
            "rating": 4.0, "timestamp": position, "position": position,
            "split": "train" if position < 4 else "test", "not_cold": position == 4,
        }
        for user in range(1, 7) for position in range(5)
    ]  # fmt: skip
    write_interactions(made.interactions, rows)
    items = [
        {"item_id": k, "raw_id": str(k), "title": f"Film {k}", "description": f"about theme{'abc'[k % 3]}"}
        for k in range(1, 7)
    ]
    pq.write_table(pa.Table.from_pylist(items), made.items)
    return made

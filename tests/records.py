"""Run records by hand."""

from __future__ import annotations

from typing import Any

from thinkrec.files import write_json
from thinkrec.layout import Layout

RECORD: dict[str, Any] = {
    "seed": 7, "seconds": 1.5, "peak_memory_mb": 1234.5, "peak_gpu_memory_mb": None, "device": "cpu (x86_64)",
    "commit": "abc-dirty",
}  # fmt: skip


def write_record_of(layout: Layout, stage: str, **facts: Any) -> None:
    """Write a stage's run record with these facts."""
    own = {"stage": layout.own(stage), "dataset": layout.dataset, "facts": facts}
    write_json(layout.record(stage), RECORD | own)

"""The record of a stage's run: seconds, peak memory, device, versions, commit, seed."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinkrec.files import write_json
from thinkrec.layout import Layout

log = logging.getLogger(__name__)
_PACKAGES = ("thinkrec", "torch", "transformers", "peft", "trl", "scikit-learn", "duckdb", "numpy")


def versions() -> dict[str, str]:
    """Versions of the packages that decide numbers."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def commit() -> str:
    """The checkout's commit, with `-dirty` when tracked files differ from it, or `none` outside git."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "none"
    return said.stdout.strip()


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def device_facts() -> dict[str, Any]:
    """The device that models run on, and the most GPU memory of this process so far in MB (None on a CPU)."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {"device": f"cpu ({platform.machine()})", "peak_gpu_memory_mb": None}
    peak = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return {"device": torch.cuda.get_device_name(), "peak_gpu_memory_mb": peak}


@contextmanager
def recorded(layout: Layout, stage: str, seed: int) -> Iterator[dict[str, Any]]:
    """Measure the block and write `reports/D/run/<stage>.json` when it ends well.

    Yields:
        A dict for what the stage wants to have kept in its record (counts, choices).
    """
    facts: dict[str, Any] = {}
    start = time.perf_counter()
    yield facts
    seconds = time.perf_counter() - start
    write_json(
        layout.record(stage),
        {
            "stage": stage,
            "dataset": layout.dataset,
            "seed": seed,
            "seconds": round(seconds, 2),
            "peak_memory_mb": peak_memory_mb(),
            **device_facts(),
            "python": platform.python_version(),
            "versions": versions(),
            "commit": commit(),
            "facts": facts,
        },
    )
    log.info("%s of %s: %.1f s, peak memory %.0f MB", stage, layout.dataset, seconds, peak_memory_mb())

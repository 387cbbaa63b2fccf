"""Cost of manifests: hashing a stage's outputs and checking its inputs, compared with the stage's duration.

    python benchmarks/artifacts.py PROJECT DATASET

PROJECT is a folder with params.yaml in which the stages have run. Seconds are medians of 5 with a warm page
cache; a stage's own seconds are from its run record and include the hashing of its outputs.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thinkrec.artifacts.check import check, inputs_of
from thinkrec.artifacts.manifest import describe
from thinkrec.config.load import load_params
from thinkrec.files import read_json
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import STAGES

ROUNDS = 5


def seconds(act: Callable[[], Any]) -> float:
    """Measure the median seconds of several calls."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    project, dataset = Path(sys.argv[1]), sys.argv[2]
    os.chdir(project)
    params, layout = load_params(), Layout(dataset)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, {dataset}")
    print("| stage | its seconds | outputs, MB | hashing them, s | checking inputs, s | share |")
    print("|---|---|---|---|---|---|")
    for name, stage in STAGES.items():
        if not layout.manifest(name).exists():
            continue
        own = float(read_json(layout.record(name))["seconds"])
        paths = [path_of(layout, each) for each in stage.outputs]
        size = sum(entry["bytes"] for path in paths for entry in describe(path).values())
        hashing = seconds(lambda paths=paths: [describe(path, deep=True) for path in paths])  # type: ignore[misc]
        names = inputs_of(name, params)
        checking = seconds(lambda names=names, keys=stage.params: check(layout, names, params, keys))  # type: ignore[misc]
        share = (hashing + checking) / own if own else float("nan")
        print(f"| {name} | {own:.2f} | {size / 1e6:.1f} | {hashing:.4f} | {checking:.4f} | {share:.2%} |")


if __name__ == "__main__":
    main()

"""The engine's benchmark script runs on a data set of its own making, at toy size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_chain import Chain

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "engine.py"


@pytest.mark.slow
def test_every_part_prints_its_lines(chain: Chain) -> None:
    options = ["--model", "toy", "--users", "2", "--repeats", "1", "--threads", "1", "--sizes", "1", "2"]
    done = subprocess.run(
        [sys.executable, SCRIPT, "demo", *options], cwd=chain.layout.root, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    lines = {row[0]: row for row in rows[1:]}
    for what in (
        "scoring 20 candidates a user, fused, 20 rows a batch",
        "scoring 1 candidates a user, fused, 40 rows a batch",
        "a forward pass, fused against one LoRA",
        "training step of 4 rows, packed, checkpointing",
        "peak memory of a step, the same, checkpointing",
        "scoring by time lines against prompts",
        "training by time lines against prompts",
        "generation, fused against one adapter",
    ):
        assert float(lines[what][4]) > 0
    assert float(lines["largest difference of a logit to PEFT's cat"][4]) < 1e-5

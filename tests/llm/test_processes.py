"""Several processes train to what one trains to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_in_processes
from safetensors.torch import load_file
from small_chain import Chain

KINDS = ("adapter", "projector")
ROWS = 8
"""Of a step, spread over processes."""


def found(out: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    return load_file(out / "weights"), json.loads((out / "history.json").read_text())


def test_two_processes_train_as_one(chain: Chain, tmp_path: Path) -> None:
    """The same losses, step by step, and the same weights, with answers of different lengths in each."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [train_in_processes.__file__, chain.layout.root, ROWS // 2, tmp_path / "two", *KINDS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in KINDS:
        train_in_processes.main(chain.layout.root, kind, ROWS, tmp_path / "one" / kind)
        (one, said), (two, again) = (found(tmp_path / name / kind) for name in ("one", "two"))
        losses = [[line["loss"] for line in history if "loss" in line] for history in (said, again)]
        assert len(losses[0]) == 2 and losses[1] == pytest.approx(losses[0], rel=1e-4)
        assert one.keys() == two.keys()
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-5)

"""Several processes train to what one trains to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_chain import Chain

SCRIPT = Path(__file__).with_name("train_in_processes.py")


def run(
    chain: Chain, kind: str, processes: int, out: Path
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Train with 8 rows a step, spread over processes."""
    out.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments = [SCRIPT, chain.layout.root, kind, 8 // processes, out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *(launcher if processes > 1 else []), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(out / "weights"), json.loads((out / "history.json").read_text())


@pytest.mark.parametrize("kind", ["adapter", "projector"])
def test_two_processes_train_as_one(chain: Chain, kind: str, tmp_path: Path) -> None:
    """The same losses, step by step, and the same weights, with answers of different lengths in each."""
    one, said = run(chain, kind, 1, tmp_path / "one")
    two, again = run(chain, kind, 2, tmp_path / "two")
    losses = [[line["loss"] for line in history if "loss" in line] for history in (said, again)]
    assert len(losses[0]) == 2 and losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-5)

"""The engine's benchmark script runs on a data set of its own making, at toy size."""

from __future__ import annotations

import subprocess
from typing import Any

import engine
import pytest
from small_chain import Chain


@pytest.mark.slow
def test_every_part_prints_its_lines(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process; of those whose peak memory is measured the first runs, the others pass for it."""
    ran, run = [], subprocess.run

    def once(*args: Any, **options: Any) -> Any:
        if not ran:
            ran.append(run(*args, **options))
        return ran[0]

    options = ["--model", "toy", "--users", "1", "--repeats", "1", "--threads", "1", "--sizes", "1", "2"]
    monkeypatch.setattr("sys.argv", ["engine.py", "demo", *options])
    monkeypatch.setattr(engine, "LARGE", 4000)
    monkeypatch.setattr(engine.subprocess, "run", once)
    monkeypatch.chdir(chain.layout.root)
    engine.main()
    rows = [
        line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line[:2] == "| "
    ]
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

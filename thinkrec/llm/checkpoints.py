"""Checkpoints and curves of a training run: whose they are, which are whole, when they go."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thinkrec.files import discard, whole
from thinkrec.llm.processes import together

WHOLE = "whole"  # file whose presence says that a checkpoint was written to its end
SERIES = (
    "loss", "bce", "reasoning_bce", "reasoning_ce", "recommendation_ce", "eval_auc", "eval_uauc",
    "learning_rate",
)  # fmt: skip


def fingerprint(values: Iterable[Any], files: Iterable[Path]) -> str:
    """Hash of parameters, input files and the count of processes.

    So a run never resumes from the checkpoint of another, or of one whose batches were cut otherwise.
    """
    said = [*values, together()]
    found = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for file in files:
        for path in sorted(file.rglob("*")) if file.is_dir() else [file]:
            if path.is_file():
                found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def write_curves(
    path: Path,
    histories: Sequence[tuple[str, list[dict[str, float]]]],
    series: Mapping[str, str] | None = None,
) -> None:
    """Write trainers' logs as one CSV: model, step, series, value.

    Args:
        path: of the CSV.
        histories: name of the model, and its trainer's log.
        series: by what the log calls them, how the CSV does; by default the joint loss's.
    """
    with whole(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "step", "series", "value"])
        for model, history in histories:
            names = series or {name: name for name in SERIES}
            lines = [(line, name) for line in history for name in names if name in line]
            writer.writerows((model, line["step"], names[name], line[name]) for line, name in lines)


def last_whole(work: Path) -> str | None:
    """The newest checkpoint that was written to its end; what a killed run left half-written is removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    for folder in found:
        if not (folder / WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)  # another process of the training removes it, too
    kept = [folder for folder in found if (folder / WHOLE).exists()]
    return str(kept[-1]) if kept else None


def forget(work: Path) -> None:
    """Remove the checkpoints of a stage that ended well."""
    discard(work)

"""Checkpoints and curves of a training run: whose they are, which are whole, when they go."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thinkrec.artifacts.manifest import describe, differing
from thinkrec.files import discard, read_json, write_curve, write_json

log = logging.getLogger(__name__)
WHOLE = "whole.json"  # file that says that a checkpoint was written to its end, and the hashes of its files
SERIES = (
    "loss", "bce", "reasoning_bce", "reasoning_ce", "recommendation_ce", "eval_auc", "eval_uauc",
    "learning_rate",
)  # fmt: skip


def write_curves(
    path: Path,
    histories: Sequence[tuple[str, list[dict[str, float]]]],
    series: Mapping[str, str] | None = None,
) -> None:
    """Write trainers' logs as one curve.

    Args:
        path: of the CSV.
        histories: name of the model, and its trainer's log.
        series: by what the log calls them, how the CSV does; by default the joint loss's.
    """
    names = series or {name: name for name in SERIES}
    points = (
        (model, line["step"], names[name], line[name])
        for model, history in histories
        for line in history
        for name in names
        if name in line
    )
    write_curve(path, "step", points)


def mark_whole(folder: Path) -> None:
    """Note that a checkpoint was written to its end, and the hash of each of its files."""
    write_json(folder / WHOLE, describe(folder))


def _intact(folder: Path) -> bool:
    """Whether a checkpoint's files are as they were when it was marked."""
    try:
        noted = read_json(folder / WHOLE)
        found = describe(folder)
    except (OSError, ValueError, RecursionError):
        return False
    found.pop(WHOLE, None)
    return isinstance(noted, dict) and not differing(noted, found)


def last_whole(work: Path) -> str | None:
    """The newest checkpoint that is whole; what a killed run left half-written, or is damaged, is removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    for folder in reversed(found):
        if _intact(folder):
            return str(folder)
        if (folder / WHOLE).exists():
            log.warning("%s is damaged and was removed: training resumes from an earlier one", folder)
        shutil.rmtree(folder, ignore_errors=True)  # another process of the training removes it, too
    return None


def forget(work: Path) -> None:
    """Remove the checkpoints of a stage that ended well."""
    discard(work)


def choice(history: list[dict[str, float]], rows: int) -> dict[str, Any]:
    """The chosen checkpoint: step, AUC and UAUC on valid (None: undefined there), and on how many rows."""
    from thinkrec.metrics.ranking import rounded

    best = max((line for line in history if "eval_choice" in line), key=lambda line: line["eval_choice"])
    return {
        "chosen_step": best["step"],
        "valid_auc": rounded(best.get("eval_auc")),
        "valid_uauc": rounded(best.get("eval_uauc")),
        "valid_rows": rows,
    }

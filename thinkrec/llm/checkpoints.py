"""Checkpoints and curves of a training run: whose they are, which are whole, when they go."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thinkrec.artifacts.marks import WHOLE, is_whole
from thinkrec.files import discard, write_curve

log = logging.getLogger(__name__)
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


def last_whole(work: Path) -> str | None:
    """The newest checkpoint that is whole; what a killed run left half-written, or is damaged, is removed."""
    steps = {folder: folder.name.removeprefix("checkpoint-") for folder in work.glob("checkpoint-*")}
    found = [folder for folder, step in steps.items() if step.isdecimal()]
    for folder in sorted(found, key=lambda folder: int(steps[folder]), reverse=True):
        if is_whole(folder):
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

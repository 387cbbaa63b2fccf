"""Checkpoints and curves of a training run: which checkpoints are complete, and when they are removed."""

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
    """Write trainers' logs as one CSV of curves.

    Args:
        path: of the CSV.
        histories: pairs of a model's name and its trainer's log.
        series: the names of series in the CSV by their names in the log; by default those of the joint loss.
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
    """Return the newest complete checkpoint, or None; incomplete and damaged ones are removed."""
    steps = {folder: folder.name.removeprefix("checkpoint-") for folder in work.glob("checkpoint-*")}
    found = [folder for folder, step in steps.items() if step.isdecimal()]
    for folder in sorted(found, key=lambda folder: int(steps[folder]), reverse=True):
        if is_whole(folder):
            return str(folder)
        if (folder / WHOLE).exists():
            log.warning("%s is damaged and was removed: training resumes from an earlier one", folder)
        shutil.rmtree(folder, ignore_errors=True)  # another process of this training may remove it as well
    return None


def forget(work: Path) -> None:
    """Remove the checkpoints of a stage that succeeded."""
    discard(work)


def choice(history: list[dict[str, float]], rows: int) -> dict[str, Any]:
    """Return step, valid AUC and UAUC (None if undefined) and valid rows of the chosen checkpoint."""
    from thinkrec.metrics.ranking import rounded

    best = max((line for line in history if "eval_choice" in line), key=lambda line: line["eval_choice"])
    return {
        "chosen_step": best["step"],
        "valid_auc": rounded(best.get("eval_auc")),
        "valid_uauc": rounded(best.get("eval_uauc")),
        "valid_rows": rows,
    }

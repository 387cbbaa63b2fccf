"""Receptions that prompts show: they must not change with labels that the prompt may not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from thinkrec.audit.check import Check, fault, judged
from thinkrec.audit.interactions import first_row
from thinkrec.audit.spoil import held_out, one_per_user
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions
from thinkrec.prompts.reception import Receptions

ROWS = 50
"""Training rows that are tried (our choice)."""


def check_receptions(data: Interactions, prompts: Mapping[str, Prompt], seed: int) -> list[Check]:
    """Check that a reception depends on no label of valid and test, nor on that of the row that shows it.

    Nothing is checked where no prompt shows any.
    """
    if not any(prompt.reception for prompt in prompts.values()):
        return []
    ours, other = Receptions(data), _flipped(data, held_out(data))
    changed = [item for item in np.unique(data.item_id).tolist() if ours.of(item) != other.of(item)]
    faults = fault(len(changed), "receptions change with labels of valid and test", f"item {changed[:1]}")
    rows, wrong = one_per_user(data, data.rows("train"), seed)[:ROWS], []
    for row in rows.tolist():
        item, label = int(data.item_id[row]), bool(data.label[row])
        other = _flipped(data, np.arange(len(data)) == row)
        wrong += [row] if other.of(item, not label) != ours.of(item, label) else []
    faults += fault(len(wrong), "receptions change with their row's label", first_row(data, np.array(wrong)))
    said = f"{len(rows):,} training rows: the same words with the row's own label flipped"
    return [judged("receptions", "of likes in other training rows", faults, said, rows=len(rows))]


def _flipped(data: Interactions, rows: np.ndarray) -> Receptions:
    return Receptions(replace(data, label=np.where(rows, 1 - data.label, data.label)))

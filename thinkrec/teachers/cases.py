"""Which rows a teacher is asked about, and as what questions."""

from __future__ import annotations

import numpy as np

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import SPLITS, Interactions, Items, Split
from thinkrec.teachers.protocol import Case, Judged
from thinkrec.teachers.views import item_views


def asked_rows(data: Interactions, split: Split, count: int, prompt: Prompt, seed: int) -> np.ndarray:
    """Draw rows of one split that have a history, all when there are fewer; ascending, [n] int64.

    A larger count with the same seed draws the same rows and more, so that an endpoint's answers stay useful.
    """
    rows = data.rows(split)
    rows = rows[data.histories(rows, 1, prompt.history)[:, 0] >= 0]
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(rows))
    return np.sort(rows[order[:count]])


def make_cases(data: Interactions, items: Items, rows: np.ndarray, prompt: Prompt) -> list[Case]:
    """Turn rows into questions: what lies before each row, with labels; the row's own label is left out."""
    views = item_views(items, prompt)
    cases = []
    for row in rows.tolist():
        past = data.history(row, prompt.history_length, prompt.history)
        history = tuple(
            Judged(views[item], bool(label))
            for item, label in zip(data.item_id[past].tolist(), data.label[past].tolist(), strict=True)
        )
        key = f"{data.user_id[row]}:{data.position[row]}"
        cases.append(Case(history, views[data.item_id[row]], key))
    return cases

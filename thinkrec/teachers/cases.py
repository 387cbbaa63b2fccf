"""Which rows a teacher is asked about, and the questions made from them."""

from __future__ import annotations

import numpy as np

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import SPLITS, Interactions, Items, Split
from thinkrec.protocols import Protocol
from thinkrec.teachers.protocol import Case, Rated
from thinkrec.teachers.views import item_views


def draw_rows(data: Interactions, split: Split, count: int, protocol: Protocol, seed: int) -> np.ndarray:
    """Draw at most `count` rows of a split that have a history; ascending, [n] int64.

    A larger count with the same seed draws a superset, so that an endpoint's answers can be reused.
    """
    rows = data.rows(split)
    rows = rows[data.histories(rows, 1, protocol)[:, 0] >= 0]
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(rows))
    return np.sort(rows[order[:count]])


def make_cases(
    data: Interactions, items: Items, rows: np.ndarray, prompt: Prompt, protocol: Protocol
) -> list[Case]:
    """Turn rows into cases: each row's history with labels, and its item without the label."""
    views = item_views(items, prompt)
    cases = []
    for row in rows.tolist():
        past = data.history(row, prompt.history_length, protocol)
        history = tuple(
            Rated(views[item], bool(label))
            for item, label in zip(data.item_id[past].tolist(), data.label[past].tolist(), strict=True)
        )
        key = f"{data.user_id[row]}:{data.position[row]}"
        cases.append(Case(history, views[data.item_id[row]], key))
    return cases

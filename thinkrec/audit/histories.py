"""Histories of every row, checked row by row against moments and positions, and how many are tied."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.audit.check import Check, judged, skipped, some
from thinkrec.audit.interactions import BY_TIME, place
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import SPLITS, HistoryMode, Interactions
from thinkrec.errors import ConfigError

_NAME = "histories"
_ROWS_AT_ONCE = 65_536
_FACTS = ("short", "stranger", "later", "same_moment", "held_out")


def compare(data: Interactions, length: int, mode: HistoryMode) -> dict[str, np.ndarray]:
    """Compare every row with what `Interactions.histories` gives for it.

    Args:
        data: the interactions.
        length: of the histories.
        mode: rolling or frozen.

    Returns:
        By name a mask of the rows, [N] bool. short: a row of the same user before it is left out though
        there is room (rolling only). stranger: the history holds a row of another user. later: a row that
        is not before it, by position or moment. same_moment: a row of the same moment. held_out: a row of
        valid or test.

    Raises:
        ConfigError: frozen histories of a split that puts train rows between others.
    """
    found = {name: np.zeros(len(data), dtype=bool) for name in _FACTS}
    for start in range(0, len(data), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(data)))
        index = data.histories(rows, length, mode)
        there, row, own = index >= 0, np.maximum(index, 0), rows[:, None]
        behind = data.position[row] >= data.position[own]
        masks = {
            "stranger": data.user_id[row] != data.user_id[own],
            "later": behind | (data.timestamp[row] > data.timestamp[own]),
            "same_moment": data.timestamp[row] == data.timestamp[own],
            "held_out": data.split[row] != 0,
        }
        for name, mask in masks.items():
            found[name][rows] = (mask & there).any(1)
        if mode == "rolling":
            found["short"][rows] = there.sum(1) != np.minimum(data.position[rows], length)
    return found


def check_histories(data: Interactions, prompt: Prompt, rule: str) -> list[Check]:
    """Check histories of both modes, as long as the prompt's."""
    length = prompt.history_length
    rolling = compare(data, length, "rolling")
    checks = [_before("rolling", data, rolling), _train(data, rolling, rule)]
    try:
        frozen = compare(data, length, "frozen")
    except ConfigError:
        why = f"the rule `{rule}` puts train rows between others: there is no frozen history"
        return [*checks, skipped(_NAME, "frozen: train rows only, before the row", why)]
    return [*checks, _before("frozen", data, frozen)]


def _before(mode: HistoryMode, data: Interactions, found: dict[str, np.ndarray]) -> Check:
    faults = []
    for name, what in (
        ("stranger", "rows have a row of another user in their history"),
        ("later", "rows have a row in their history that is not before them"),
        ("short", "rows lack an earlier row in their history"),
    ):
        faults += some(int(found[name].sum()), what, place(data, np.flatnonzero(found[name])))
    claim = "rolling: the same user's rows, before the row"
    if mode == "frozen":
        claim = "frozen: train rows only, before the row"
        late = np.flatnonzero(found["held_out"])
        faults += some(len(late), "frozen histories hold a valid or test row", place(data, late))
    tied = int(found["same_moment"].sum())
    said = f"{len(data):,} rows; {tied:,} have a row of their own moment in the history, by position before"
    return judged(_NAME, claim, faults, said, rows=len(data), same_moment=tied)


def _train(data: Interactions, found: dict[str, np.ndarray], rule: str) -> Check:
    """Train rows are trained on with their rolling history; no held-out row may stand in it."""
    claim = "train rows' histories hold no valid or test row"
    wrong = np.flatnonzero(found["held_out"] & (data.split == 0))
    if rule not in BY_TIME and len(wrong):
        return skipped(_NAME, claim, f"the rule `{rule}` mixes times: {len(wrong):,} do", count=len(wrong))
    faults = some(len(wrong), "train rows read a valid or test row", place(data, wrong))
    return judged(_NAME, claim, faults, f"{int((data.split == 0).sum()):,} train rows")


def ties(data: Interactions, length: int) -> dict[str, dict[str, Any]]:
    """By split: rows; rows that share their moment with another of the same user; what histories hold.

    `tied`: another row of the user, in any split, has the same moment. `tied_history`: such a row stands in
    the rolling history. `held_out_history`: the rolling history holds a valid or test row, label and all.
    """
    found = compare(data, length, "rolling")
    order = np.lexsort((data.timestamp, data.user_id))
    when = np.stack([data.user_id, data.timestamp])[:, order]
    equal = (when[:, 1:] == when[:, :-1]).all(0)
    tied = np.zeros(len(data), dtype=bool)
    tied[order[1:][equal]] = tied[order[:-1][equal]] = True
    masks = {"tied": tied, "tied_history": found["same_moment"], "held_out_history": found["held_out"]}
    stated = {}
    for code, name in enumerate(SPLITS):
        own = data.split == code
        counts: dict[str, Any] = {"rows": int(own.sum())}
        for key, mask in masks.items():
            counts[key] = int((mask & own).sum())
            counts[f"{key}_share"] = round(counts[key] / counts["rows"], 6) if counts["rows"] else None
        stated[name] = counts
    return stated

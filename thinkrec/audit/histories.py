"""Histories of every row, checked against timestamps and positions, and counts of ties."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.interactions import BY_TIME, first_row
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.errors import ConfigError
from thinkrec.protocols import Protocol

_NAME = "histories"
_BATCH = 65_536
_FACTS = ("short", "stranger", "later", "same_moment", "held_out", "own_split")
_CLAIMS: dict[str, str] = {
    "rolling": "rolling: the same user's rows, before the row",
    "frozen": "frozen: the same user's rows, before the row's split begins",
    "train": "train: train rows only, before the row",
}


def compare(data: Interactions, length: int, protocol: Protocol) -> dict[str, np.ndarray]:
    """Check `Interactions.histories` of every row.

    Args:
        data: the interactions.
        length: of the histories.
        protocol: of the histories.

    Returns:
        Masks of rows by name, [N] bool. short: an earlier row of the user is missing though there is space
        (rolling only). stranger: the history has a row of another user. later: a row that is not earlier, by
        position or timestamp. same_moment: a row with the same timestamp. held_out: a row of valid or test.
        own_split: of a valid or test row, a row of the same split or a later one.

    Raises:
        ConfigError: the splits do not follow each other, and the protocol needs that.
    """
    masks = {name: np.zeros(len(data), dtype=bool) for name in _FACTS}
    for start in range(0, len(data), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(data)))
        # [n, length] row numbers; `target` [n, 1] broadcasts over them.
        index = data.histories(rows, length, protocol)
        present, row, target = index >= 0, np.maximum(index, 0), rows[:, None]
        behind = data.position[row] >= data.position[target]
        cells = {
            "stranger": data.user_id[row] != data.user_id[target],
            "later": behind | (data.timestamp[row] > data.timestamp[target]),
            "same_moment": data.timestamp[row] == data.timestamp[target],
            "held_out": data.split[row] != 0,
            "own_split": (data.split[target] != 0) & (data.split[row] >= data.split[target]),
        }
        for name, cell in cells.items():
            masks[name][rows] = (cell & present).any(1)
        if protocol == "rolling":
            masks["short"][rows] = present.sum(1) != np.minimum(data.position[rows], length)
    return masks


def check_histories(data: Interactions, prompt: Prompt, rule: str) -> list[Check]:
    """Check histories of all protocols, of the prompt's length."""
    length = prompt.history_length
    rolling = compare(data, length, "rolling")
    checks = [_before("rolling", data, rolling), _train(data, rolling, rule)]
    protocols: tuple[Protocol, ...] = ("frozen", "train")
    for protocol in protocols:
        try:
            checks.append(_before(protocol, data, compare(data, length, protocol)))
        except ConfigError:
            why = f"the rule `{rule}` puts train rows between others: there is no {protocol} history"
            checks.append(skipped(_NAME, _CLAIMS[protocol], why))
    return checks


def _before(protocol: Protocol, data: Interactions, masks: dict[str, np.ndarray]) -> Check:
    faults = []
    for name, what in (
        ("stranger", "rows have a row of another user in their history"),
        ("later", "rows have a row in their history that is not before them"),
        ("short", "rows lack an earlier row in their history"),
    ):
        faults += fault(int(masks[name].sum()), what, first_row(data, np.flatnonzero(masks[name])))
    for name, of, what in (
        ("held_out", "train", "train histories hold a valid or test row"),
        ("own_split", "frozen", "frozen histories hold a row of the same split or a later one"),
    ):
        if protocol == of:
            late = np.flatnonzero(masks[name])
            faults += fault(len(late), what, first_row(data, late))
    tied = int(masks["same_moment"].sum())
    summary = (
        f"{len(data):,} rows; {tied:,} have a row of their own moment in the history, by position before"
    )
    return judged(_NAME, _CLAIMS[protocol], faults, summary, rows=len(data), same_moment=tied)


def _train(data: Interactions, masks: dict[str, np.ndarray], rule: str) -> Check:
    """Check that train rows, which are used with rolling histories, have no held-out row in them."""
    claim = "train rows' histories hold no valid or test row"
    wrong = np.flatnonzero(masks["held_out"] & (data.split == 0))
    if rule not in BY_TIME and len(wrong):
        return skipped(_NAME, claim, f"the rule `{rule}` mixes times: {len(wrong):,} do", count=len(wrong))
    faults = fault(len(wrong), "train rows read a valid or test row", first_row(data, wrong))
    return judged(_NAME, claim, faults, f"{int((data.split == 0).sum()):,} train rows")


def ties(data: Interactions, length: int) -> dict[str, dict[str, Any]]:
    """Count rows by split, and those with ties or held-out rows in their history.

    `tied`: another row of the user, in any split, has the same timestamp. `tied_history`: such a row is in
    the rolling history. `held_out_history`: the rolling history has a labelled valid or test row.
    """
    masks = compare(data, length, "rolling")
    order = np.lexsort((data.timestamp, data.user_id))
    when = np.stack([data.user_id, data.timestamp])[:, order]
    equal = (when[:, 1:] == when[:, :-1]).all(0)
    tied = np.zeros(len(data), dtype=bool)
    tied[order[1:][equal]] = tied[order[:-1][equal]] = True
    flags = {"tied": tied, "tied_history": masks["same_moment"], "held_out_history": masks["held_out"]}
    table = {}
    for code, name in enumerate(SPLITS):
        own = data.split == code
        counts: dict[str, Any] = {"rows": int(own.sum())}
        for key, flag in flags.items():
            counts[key] = int((flag & own).sum())
            counts[f"{key}_share"] = round(counts[key] / counts["rows"], 6) if counts["rows"] else None
        table[name] = counts
    return table

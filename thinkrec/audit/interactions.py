"""The table of interactions: time lines, splits, warm rows, repeats."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.audit.check import Check, judged, skipped, some
from thinkrec.audit.spoil import held_out
from thinkrec.data.moments import as_text
from thinkrec.data.tables import SPLITS, Interactions, Split

_NAME = "interactions"
BY_TIME = ("months", "date", "share")
AGAIN = "run `thinkrec prep` again"


def check_interactions(data: Interactions, rule: str) -> list[Check]:
    """All checks of the table.

    Args:
        data: the interactions.
        rule: name of the rule that split them, as in params.yaml (`split.rule`).
    """
    return [_time_lines(data), _splits(data, rule), _not_cold(data), _repeats(data)]


def place(data: Interactions, rows: np.ndarray) -> str:
    """Names the first of some rows, "" when there is none."""
    return f"user {data.user_id[rows[0]]}, position {data.position[rows[0]]}" if len(rows) else ""


def _time_lines(data: Interactions) -> Check:
    claim = "positions are 0, 1, 2, ... in order of time"
    starts = np.flatnonzero(np.diff(data.user_id, prepend=0))
    own = np.arange(len(data)) - np.repeat(starts, np.diff(starts, append=len(data)))
    mixed = np.flatnonzero(np.diff(data.user_id, prepend=0) < 0)
    wrong = np.flatnonzero(data.position != own)
    back = np.flatnonzero((np.diff(data.timestamp, prepend=0) < 0) & (own > 0))
    faults = some(len(mixed), "rows come before a user of lower id", place(data, mixed))
    faults += some(len(wrong), "positions are not those of the time line", place(data, wrong))
    faults += some(len(back), "rows are earlier than the one before them", place(data, back))
    said = f"{len(data):,} rows of {len(starts):,} users"
    return judged(_NAME, claim, faults and [*faults, AGAIN], said, rows=len(data), users=len(starts))


def _borders(data: Interactions) -> dict[str, Any]:
    found = {}
    for code, name in enumerate(SPLITS):
        when = data.timestamp[data.split == code]
        found[name] = [int(when.min()), int(when.max())] if len(when) else None
    return found


def _splits(data: Interactions, rule: str) -> Check:
    """Splits agree with time: over all users, or at least along each user's own time line."""
    borders = _borders(data)
    shown = ", ".join(
        f"{name} {as_text(b[0])} to {as_text(b[1])}" for name, b in borders.items() if b is not None
    )
    after = [_after(data, "train", "valid"), _after(data, "valid", "test")]
    figures = {"rule": rule, "borders": borders, "train_after_valid": len(after[0][0])}
    figures |= {"valid_after_test": len(after[1][0]), "same_moment_at_borders": after[0][1] + after[1][1]}
    if rule in BY_TIME:
        faults = some(len(after[0][0]), "train rows are later than valid's first", place(data, after[0][0]))
        faults += some(len(after[1][0]), "valid rows are later than test's first", place(data, after[1][0]))
        tied = figures["same_moment_at_borders"]
        said = f"{shown} (UTC); {tied:,} rows share the moment of a border with the next split"
        return judged(_NAME, f"splits by time ({rule})", faults and [*faults, AGAIN], said, **figures)
    if rule == "leave_one_out":
        back = np.flatnonzero((np.diff(data.split, prepend=0) < 0) & (data.position > 0))
        faults = some(len(back), "rows follow a row of a later split", place(data, back))
        said = (
            f"each user's own rows are in order; between users this rule mixes times: {len(after[0][0]):,} "
            "train rows are later than valid's first"
        )
        return judged(
            _NAME, "splits in order of each user's time", faults and [*faults, AGAIN], said, **figures
        )
    why = f"the rule `{rule}` mixes times: {len(after[0][0]):,} train rows are later than valid's first"
    return skipped(_NAME, "splits by time", why, **figures)


def _after(data: Interactions, early: Split, late: Split) -> tuple[np.ndarray, int]:
    """Rows of `early` that are later than the first of `late`, and how many are of its very moment."""
    rows, when = data.rows(early), data.timestamp[data.rows(late)]
    if not len(when):
        return rows[:0], 0
    first = when.min()
    return rows[data.timestamp[rows] > first], int((data.timestamp[rows] == first).sum())


def _not_cold(data: Interactions) -> Check:
    train = data.rows("train")
    warm = np.isin(data.user_id, data.user_id[train]) & np.isin(data.item_id, data.item_id[train])
    wrong = np.flatnonzero(warm != data.not_cold)
    faults = some(len(wrong), "rows are called warm or cold wrongly", place(data, wrong))
    count = int((warm & held_out(data)).sum())
    said = f"{count:,} valid and test rows are warm"
    return judged(
        _NAME, "not_cold: user and item are in train", faults and [*faults, AGAIN], said, warm=count
    )


def _repeats(data: Interactions) -> Check:
    """The same user and item again: at the same moment a row finds itself, label and all, in its history."""
    claim = "no valid or test row finds itself in its history"
    order = np.lexsort((data.position, data.item_id, data.user_id))
    pair = np.stack([data.user_id, data.item_id])[:, order]
    again = (pair[:, 1:] == pair[:, :-1]).all(0)
    same = again & (data.timestamp[order][1:] == data.timestamp[order][:-1])
    late = held_out(data)[order[1:]]
    repeated, itself = np.sort(order[1:][again & late]), np.sort(order[1:][same & late])
    faults = some(len(itself), "rows repeat user, item and moment of a row before them", place(data, itself))
    said = (
        f"{len(repeated):,} valid and test rows judge an item that the same user judged at an earlier moment "
        f"({int(again.sum()):,} of all rows)"
    )
    advice = "set the data set's `repeated: drop` and run `thinkrec prep` again"
    figures = {"repeated": len(repeated), "repeated_all": int(again.sum()), "itself": len(itself)}
    return judged(_NAME, claim, faults and [*faults, advice], said, **figures)

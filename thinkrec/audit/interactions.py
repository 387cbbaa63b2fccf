"""The table of interactions: order in time, splits, warm rows, repeats."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.spoil import held_out
from thinkrec.data.moments import as_text
from thinkrec.data.tables import SPLITS, Interactions, Split

_NAME = "interactions"
BY_TIME = ("months", "date", "share")
AGAIN = "run `thinkrec prep` again"


def check_interactions(data: Interactions, rule: str) -> list[Check]:
    """Run all checks of the table.

    Args:
        data: the interactions.
        rule: their `split.rule`.
    """
    return [_sequences(data), _splits(data, rule), _not_cold(data), _repeats(data)]


def first_row(data: Interactions, rows: np.ndarray) -> str:
    """Name the first of some rows, "" if there are none."""
    return f"user {data.user_id[rows[0]]}, position {data.position[rows[0]]}" if len(rows) else ""


def _sequences(data: Interactions) -> Check:
    claim = "positions are 0, 1, 2, ... in order of time"
    starts = np.flatnonzero(np.diff(data.user_id, prepend=0))
    own = np.arange(len(data)) - np.repeat(starts, np.diff(starts, append=len(data)))
    mixed = np.flatnonzero(np.diff(data.user_id, prepend=0) < 0)
    wrong = np.flatnonzero(data.position != own)
    back = np.flatnonzero((np.diff(data.timestamp, prepend=0) < 0) & (own > 0))
    faults = fault(len(mixed), "rows come before a user of lower id", first_row(data, mixed))
    faults += fault(len(wrong), "positions are not those of the time line", first_row(data, wrong))
    faults += fault(len(back), "rows are earlier than the one before them", first_row(data, back))
    summary = f"{len(data):,} rows of {len(starts):,} users"
    return judged(_NAME, claim, faults and [*faults, AGAIN], summary, rows=len(data), users=len(starts))


def _borders(data: Interactions) -> dict[str, Any]:
    borders = {}
    for code, name in enumerate(SPLITS):
        when = data.timestamp[data.split == code]
        borders[name] = [int(when.min()), int(when.max())] if len(when) else None
    return borders


def _splits(data: Interactions, rule: str) -> Check:
    """Check that splits are in order of time, over all users or at least within each user."""
    borders = _borders(data)
    spans = ", ".join(
        f"{name} {as_text(b[0])} to {as_text(b[1])}" for name, b in borders.items() if b is not None
    )
    after = [_after(data, "train", "valid"), _after(data, "valid", "test")]
    figures = {"rule": rule, "borders": borders, "train_after_valid": len(after[0][0])}
    figures |= {"valid_after_test": len(after[1][0]), "same_moment_at_borders": after[0][1] + after[1][1]}
    if rule in BY_TIME:
        faults = fault(
            len(after[0][0]), "train rows are later than valid's first", first_row(data, after[0][0])
        )
        faults += fault(
            len(after[1][0]), "valid rows are later than test's first", first_row(data, after[1][0])
        )
        tied = figures["same_moment_at_borders"]
        summary = f"{spans} (UTC); {tied:,} rows share the moment of a border with the next split"
        return judged(_NAME, f"splits by time ({rule})", faults and [*faults, AGAIN], summary, **figures)
    if rule == "leave_one_out":
        back = np.flatnonzero((np.diff(data.split, prepend=0) < 0) & (data.position > 0))
        faults = fault(len(back), "rows follow a row of a later split", first_row(data, back))
        summary = (
            f"each user's own rows are in order; between users this rule mixes times: {len(after[0][0]):,} "
            "train rows are later than valid's first"
        )
        return judged(
            _NAME, "splits in order of each user's time", faults and [*faults, AGAIN], summary, **figures
        )
    why = f"the rule `{rule}` mixes times: {len(after[0][0]):,} train rows are later than valid's first"
    return skipped(_NAME, "splits by time", why, **figures)


def _after(data: Interactions, early: Split, late: Split) -> tuple[np.ndarray, int]:
    """Find rows of `early` that are later than the first of `late`, and count those with its timestamp."""
    rows, when = data.rows(early), data.timestamp[data.rows(late)]
    if not len(when):
        return rows[:0], 0
    first = when.min()
    return rows[data.timestamp[rows] > first], int((data.timestamp[rows] == first).sum())


def _not_cold(data: Interactions) -> Check:
    train = data.rows("train")
    warm = np.isin(data.user_id, data.user_id[train]) & np.isin(data.item_id, data.item_id[train])
    wrong = np.flatnonzero(warm != data.not_cold)
    faults = fault(len(wrong), "rows are called warm or cold wrongly", first_row(data, wrong))
    count = int((warm & held_out(data)).sum())
    summary = f"{count:,} valid and test rows are warm"
    return judged(
        _NAME, "not_cold: user and item are in train", faults and [*faults, AGAIN], summary, warm=count
    )


def _repeats(data: Interactions) -> Check:
    """Check repeats of user and item: at the same timestamp a row has its own label in its history."""
    claim = "no valid or test row finds itself in its history"
    order = np.lexsort((data.position, data.item_id, data.user_id))
    pair = np.stack([data.user_id, data.item_id])[:, order]
    again = (pair[:, 1:] == pair[:, :-1]).all(0)
    same = again & (data.timestamp[order][1:] == data.timestamp[order][:-1])
    late = held_out(data)[order[1:]]
    repeated, itself = np.sort(order[1:][again & late]), np.sort(order[1:][same & late])
    faults = fault(
        len(itself), "rows repeat user, item and moment of a row before them", first_row(data, itself)
    )
    summary = (
        f"{len(repeated):,} valid and test rows judge an item that the same user judged at an earlier moment "
        f"({int(again.sum()):,} of all rows)"
    )
    advice = "set the data set's `repeated: drop` and run `thinkrec prep` again"
    figures = {"repeated": len(repeated), "repeated_all": int(again.sum()), "itself": len(itself)}
    return judged(_NAME, claim, faults and [*faults, advice], summary, **figures)

"""Split rules: the SQL of each, its variables, explanations, and how it leaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from thinkrec.config.sources import (
    DateSplit,
    LeaveOneOutSplit,
    MonthSplit,
    RandomSplit,
    ShareSplit,
    SourceSection,
    Split,
)
from thinkrec.data.moments import DAY, FIRST, LAST, SECOND, start_of

SPLITS = ("train", "valid", "test")
"""As in `thinkrec.data.tables`, whose import is slow."""


@dataclass(frozen=True)
class SplitRule:
    """How rows are split.

    Args:
        sql: name of the SQL file that derives `kept` from `active`.
        values: the file's variables.
        explain: split -> which rows it takes, as the end of a sentence about an empty split.
        start: first timestamp (ns) of the rule, inclusive.
        stop: end of its timestamps (ns), exclusive.
        leak: how the rule leaks the future into training, or None.
    """

    sql: str
    values: dict[str, Any]
    explain: dict[str, str]
    start: int = FIRST
    stop: int = LAST
    leak: str | None = field(default=None)


def split_rule(split: Split, earliest: int) -> SplitRule:
    """Return the rule of a `split` section.

    Args:
        split: the section.
        earliest: timestamp (ns, UTC) of the first usable rating.
    """
    return _RULES[split.rule](split, earliest)


def window(source: SourceSection) -> tuple[int, int]:
    """Return start (inclusive) and end (exclusive) of a source's window, in ns."""
    start = FIRST if source.first_day is None else start_of(source.first_day)
    stop = LAST if source.last_day is None else start_of(source.last_day) + DAY
    return start, stop


def _months(split: MonthSplit, earliest: int) -> SplitRule:
    origin = datetime.fromtimestamp(earliest // SECOND, tz=UTC)

    def month_start(month: int) -> int:
        years, rest = divmod(origin.month - 1 + month, 12)
        return start_of(date(min(origin.year + years, 9999), rest + 1, 1))

    ranges = {name: getattr(split, name) for name in SPLITS}
    starts = [month_start(months.first) for months in ranges.values()]
    stops = [month_start(months.last + 1) for months in ranges.values()]
    explain = {
        name: f"it takes months {months.first} to {months.last}, counted from the data's first month"
        for name, months in ranges.items()
    }
    values = {"splits": list(SPLITS), "starts": starts, "stops": stops}
    return SplitRule("split_months", values, explain, starts[0], stops[-1])


def _date(split: DateSplit, earliest: int) -> SplitRule:
    day = split.train_until
    half = f"it takes half of what comes after train_until = {day}"
    values = {
        "held_from": start_of(day) + DAY,
        "held_share": 1.0,
        "valid_part": 0.5,
        "seed": None,
    }
    return SplitRule(
        "split_order", values, {"train": f"it ends with train_until = {day}", "valid": half, "test": half}
    )


def _shares(split: ShareSplit | RandomSplit) -> tuple[dict[str, Any], dict[str, str]]:
    held = split.valid + split.test
    explain = {name: f"it takes {name} = {getattr(split, name)} of the rows" for name in SPLITS[1:]}
    explain["train"] = f"it takes what valid = {split.valid} and test = {split.test} leave of the rows"
    values = {"held_from": FIRST, "held_share": held, "valid_part": split.valid / held if held else 0.0}
    return values, explain


def _share(split: ShareSplit, earliest: int) -> SplitRule:
    values, explain = _shares(split)
    return SplitRule("split_order", {**values, "seed": None}, explain)


def _random(split: RandomSplit, earliest: int) -> SplitRule:
    values, explain = _shares(split)
    leak = (
        "split.rule = random leaks the future: train has rows of the same user and of others that are later "
        "than a test row, and encoders and language model learn from them. Do not compare its results with "
        "those of a split by time"
    )
    return SplitRule("split_order", {**values, "seed": split.seed}, explain, leak=leak)


def _leave_one_out(split: LeaveOneOutSplit, earliest: int) -> SplitRule:
    leak = (
        "split.rule = leave_one_out leaks the future: a user's test row is later than the user's own "
        "training rows, but other users' training rows are later than it, and show what became popular "
        "afterwards. Do not compare its results with those of a split by time"
    )
    explain = dict.fromkeys(SPLITS, "it needs users with three interactions or more")
    return SplitRule("split_last", {}, explain, leak=leak)


_RULES: dict[str, Callable[..., SplitRule]] = {
    "months": _months, "date": _date, "share": _share, "random": _random, "leave_one_out": _leave_one_out
}  # fmt: skip

"""Rules that choose a row's split: months of the calendar, or the last share of the time line."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from thinkrec.config.sections import MonthRange
from thinkrec.errors import ConfigError

SPLITS = ("train", "valid", "test")
"""As in `thinkrec.data.tables`, whose import costs more than this whole stage's start."""


class SplitRule(Protocol):
    """A SQL file that makes `kept` (user, item, rating, timestamp, line, split) of the usable ratings."""

    @property
    def sql(self) -> str:
        """Name of the SQL file."""

    @property
    def values(self) -> dict[str, Any]:
        """The file's variables."""

    def explain(self, split: str) -> str:
        """What the rule puts into `split`, as the end of a sentence about an empty one."""


@dataclass(frozen=True)
class MonthSplit:
    """Months (UTC) counted from the first month of the usable ratings; 0 is that month.

    Raises:
        ConfigError: the ranges overlap or are not in the order train, valid, test.
    """

    train: MonthRange
    valid: MonthRange
    test: MonthRange
    sql: str = "split_months"

    def __post_init__(self) -> None:
        """Refuse ranges that would put a row into two splits or train after test."""
        for earlier, later in pairwise(SPLITS):
            last, first = getattr(self, earlier).last, getattr(self, later).first
            if last >= first:
                raise ConfigError(
                    f"{later} starts with month {first}, but {earlier} ends with month {last}; "
                    "it must end before"
                )

    @property
    def values(self) -> dict[str, Any]:
        """The file's variables."""
        ranges = [getattr(self, split) for split in SPLITS]
        first, last = [months.first for months in ranges], [months.last for months in ranges]
        return {"splits": list(SPLITS), "first": first, "last": last}

    def explain(self, split: str) -> str:
        """What the rule puts into `split`."""
        months = getattr(self, split)
        return f"it takes months {months.first} to {months.last}, counted from the data's first month"


@dataclass(frozen=True)
class ShareSplit:
    """The last share of all usable ratings by time, cut in half: valid, then test."""

    held_out: float
    sql: str = "split_share"

    @property
    def values(self) -> dict[str, Any]:
        """The file's variables."""
        return {"held_out": self.held_out}

    def explain(self, split: str) -> str:
        """What the rule puts into `split`."""
        if split == "train":
            return f"it takes what held_out = {self.held_out} leaves of the rows"
        return f"it takes half of held_out = {self.held_out} of the rows"

"""Entries of `datasets` in params.yaml: one section for each reader, and the rules of a split."""

from __future__ import annotations

import codecs
import re
from datetime import date
from itertools import combinations
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from thinkrec.config.base import Day, Rows, Section, Seed, Share, Text

Month = Annotated[int, Field(ge=0, le=12_000)]


class MonthRange(Section):
    """Months counted from the first month of the data (0 is that month), both ends included."""

    first: Month
    last: Month

    @model_validator(mode="after")
    def _ordered(self) -> MonthRange:
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) comes after last ({self.last})")
        return self


class MonthSplit(Section):
    """By calendar months (UTC), counted from the first month of the usable ratings; 0 is that month."""

    rule: Literal["months"]
    train: MonthRange = MonthRange(first=14, last=23)
    valid: MonthRange = MonthRange(first=24, last=28)
    test: MonthRange = MonthRange(first=29, last=33)

    @model_validator(mode="after")
    def _in_order(self) -> MonthSplit:
        for earlier, later in (("train", "valid"), ("valid", "test")):
            last, first = getattr(self, earlier).last, getattr(self, later).first
            if last >= first:
                raise ValueError(
                    f"{later} starts with month {first}, but {earlier} ends with month {last}; "
                    "it must end before"
                )
        return self


class DateSplit(Section):
    """Train up to a day (UTC); what comes later, sorted by time, is cut in half: valid, test."""

    rule: Literal["date"]
    train_until: Day = Field(description="last day of train")


class HeldOut(Section):
    """Shares of all rows."""

    rule: str
    valid: Share = 0.15
    test: Share = 0.15

    @model_validator(mode="after")
    def _leave_some(self) -> HeldOut:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid ({self.valid}) and test ({self.test}) leave no rows to train on")
        return self


class ShareSplit(HeldOut):
    """The last shares of one time line over all users: valid, then test."""

    rule: Literal["share"]


class LeaveOneOutSplit(Section):
    """Each user's last interaction is test, the one before valid. Leaks: others' train rows may be later."""

    rule: Literal["leave_one_out"]


class RandomSplit(HeldOut):
    """Rows drawn by chance. Leaks: train holds rows that are later than a test row of the same user."""

    rule: Literal["random"]
    seed: Seed = 7


Split = Annotated[
    MonthSplit | DateSplit | ShareSplit | LeaveOneOutSplit | RandomSplit, Field(discriminator="rule")
]


class SourceSection(Section):
    """What all sources share: which rows are kept, what is a like, and which rows train."""

    reader: str
    raw: Text = Field(description="folder of the raw files, or its s3:// or https:// address")
    watch: Text = Field(
        description="what DVC watches, to run prep again: the raw folder; where that is remote, see README"
    )
    positive_above: float = Field(3, description="a rating above this is a like")
    first_day: Day | None = Field(None, description="first day (UTC) of the window; null: no bound")
    last_day: Day | None = Field(None, description="last day (UTC) of the window; null: no bound")
    min_interactions: Rows = Field(
        1,
        description="users and items need at least as many interactions in the window (both counted once, "
        "on the same rows)",
    )
    repeated: Literal["drop", "keep"] = Field(
        "drop",
        description="the same user, item and moment again: a row that would find itself in its history",
    )

    @model_validator(mode="after")
    def _days_in_order(self) -> SourceSection:
        if self.first_day and self.last_day and self.first_day > self.last_day:
            raise ValueError(f"first_day ({self.first_day}) comes after last_day ({self.last_day})")
        return self


class DemoSource(SourceSection):
    """The embedded data set; `thinkrec fetch demo` writes its raw files."""

    reader: Literal["demo"]
    raw: Text = "data/raw/demo"
    watch: Text = "data/raw/demo"
    split: Split = ShareSplit(rule="share", valid=0.1, test=0.25)


class Ml1mSource(SourceSection):
    """MovieLens-1M (`::`, Latin-1): ratings.dat, movies.dat. Window and split: the paper's release."""

    reader: Literal["ml1m"]
    raw: Text = "data/raw/ml1m"
    watch: Text = "data/raw/ml1m"
    split: Split = MonthSplit(rule="months")
    plots: bool = Field(False, description="take descriptions from movies_extrainfos.dat (not the paper's)")


class YelpSource(SourceSection):
    """Yelp's open data set: yelp_academic_dataset_business.json and _review.json, plain or gzipped."""

    reader: Literal["yelp"]
    raw: Text = "data/raw/yelp"
    watch: Text = "data/raw/yelp"
    first_day: Day | None = date(2010, 1, 1)
    last_day: Day | None = date(2022, 1, 31)
    min_interactions: Rows = 21
    split: Split = DateSplit(rule="date", train_until=date(2019, 11, 30))


class BookSource(SourceSection):
    """Amazon reviews of 2018, any category: <category>.json and meta_<category>.json, plain or gzipped."""

    reader: Literal["book"]
    raw: Text = "data/raw/book"
    watch: Text = "data/raw/book"
    category: str = Field(
        "Books",
        pattern="^[A-Za-z0-9_]+$",
        max_length=100,
        description="as in the files' names, such as Gift_Cards",
    )
    five_core: bool = Field(
        False, description="read <category>_5.json, Amazon's own subset (not the paper's)"
    )
    positive_above: float = 4
    first_day: Day | None = date(2017, 1, 1)
    last_day: Day | None = date(2017, 12, 31)
    min_interactions: Rows = 21
    split: Split = DateSplit(rule="date", train_until=date(2017, 10, 31))


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[^/\\]+", name) or name in (".", "..") or len(name.encode()) > 200:
        raise ValueError(
            f"must be the name of a file in the raw folder, of at most 200 bytes, not {name[:80]}"
        )
    return name


FileName = Annotated[Text, AfterValidator(_file_name)]


def _numbered(name: object) -> object:
    """A column's number, as YAML reads it, as text."""
    return str(name) if type(name) is int else name


Column = Annotated[
    str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$"), BeforeValidator(_numbered)
]
UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds", "text")
"""Values of `time` that are no format."""


def _time(value: str) -> str:
    if value not in UNITS and not (
        re.fullmatch(r"(%[aAbBdfHIjmMpSyY%]|[^%\x00])+", value) and re.search(r"%[yY]", value)
    ):
        raise ValueError(
            f"must be {', '.join(UNITS)}, or a format of dates with %Y or %y, such as '%d.%m.%Y %H:%M', not "
            f"{value[:80]!r}"
        )
    return value


Time = Annotated[str, Field(max_length=100), AfterValidator(_time)]
_TAB = "\\t"
"""What `'\\t'` gives in YAML, where only double quotes make a tab of it."""


class CustomSource(SourceSection):
    """Your own files: tables of text (.csv, .tsv, .dat, .inter, ...), JSON lines or Parquet; columns."""

    reader: Literal["custom"]
    watch: Text = ""
    ratings: FileName = Field(
        "ratings.csv",
        description="file of the interactions; its ending decides the format (see README)",
    )
    user: Column = "user"
    item: Column = "item"
    rating: Column | None = Field("rating", description="column of ratings, or null where there are labels")
    label: Column | None = Field(
        None, description="column of labels (0 and 1, false and true) instead of ratings"
    )
    min_rating: float | None = Field(None, description="ratings below it are quarantined; null: no bound")
    max_rating: float | None = Field(None, description="ratings above it are quarantined; null: no bound")
    timestamp: Column = "timestamp"
    time: Time = Field(
        "seconds",
        description="seconds, milliseconds, microseconds or nanoseconds since 1970; text such as "
        "2012-01-03 15:28:18.5 (UTC unless it says); or a format such as `'%d.%m.%Y %H:%M'` (UTC)",
    )
    items: FileName | None = Field(
        "items.csv", description="file of the items; null: an item's title is its id"
    )
    header: bool = Field(
        True, description="tables of text name their columns; false: these are called 1, 2, 3, ..."
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=4,
        description="between the columns of tables of text; null: by the ending, or what gives the columns",
    )
    quote: str = Field(
        '"', max_length=1, description="around fields of tables of text that need it; '': there is none"
    )
    encoding: Text = Field(
        "utf-8", description="of tables of text: utf-8, latin-1, cp1252, utf-16 or another that Python knows"
    )
    item_id: Column = Field("item", description="column of the items' file; so are the next three")
    title: Column = "title"
    description: Column | None = None
    categories: Column | None = Field(
        None, description="a list, or text with `category_separator` between its parts"
    )
    category_separator: str | None = Field(
        None, min_length=1, max_length=10, description="null: `|`, or commas where there is none"
    )
    split: Split = ShareSplit(rule="share")

    @model_validator(mode="after")
    def _one_of_rating_and_label(self) -> CustomSource:
        if (self.rating is None) == (self.label is None):
            raise ValueError("name one column, `rating` or `label`, and set the other to null")
        return self

    @field_validator("separator", mode="after")
    @classmethod
    def _separates(cls, separator: str | None) -> str | None:
        if separator == _TAB:
            return "\t"
        if separator is not None and (set(separator) & set('\r\n"\0') or len(separator.encode()) > 4):
            raise ValueError(
                "must be at most 4 bytes without quotes and line ends, such as ';', '|' or \"\\t\""
            )
        return separator

    @field_validator("encoding", mode="after")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            codecs.getincrementaldecoder(encoding)("replace").decode(" ".encode(encoding), final=True)
        except (LookupError, UnicodeError, TypeError):
            raise ValueError(
                f"{encoding} is no encoding of text; utf-8, latin-1, cp1252, utf-16 are"
            ) from None
        return encoding

    @field_validator("quote", mode="after")
    @classmethod
    def _one_byte(cls, quote: str) -> str:
        if quote and (not quote.isascii() or not quote.isprintable()):
            raise ValueError("must be a plain sign such as '\"', or '' for none")
        return quote

    @model_validator(mode="after")
    def _bounds_in_order(self) -> CustomSource:
        if self.min_rating is not None and self.max_rating is not None and self.min_rating > self.max_rating:
            raise ValueError(f"min_rating ({self.min_rating:g}) is above max_rating ({self.max_rating:g})")
        if self.quote and self.quote in (self.separator or ""):
            raise ValueError(f"quote and separator are the same sign, {self.quote}")
        return self

    @model_validator(mode="after")
    def _tell_columns_apart(self) -> CustomSource:
        stars = "rating" if self.label is None else "label"
        for keys in (("user", "item", stars, "timestamp"), ("item_id", "title", "description", "categories")):
            named = {key: getattr(self, key) for key in keys if getattr(self, key)}
            for one, other in combinations(named, 2):
                if named[one] == named[other] and (one, other) != ("item_id", "title"):
                    raise ValueError(f"`{one}` and `{other}` name the same column, {named[one]}")
                if named[one] != named[other] and named[one].lower() == named[other].lower():
                    names = ", ".join(sorted({named[one], named[other]}))
                    raise ValueError(f"columns that differ only by case can't be distinguished: {names}")
        return self


Source = Annotated[
    DemoSource | Ml1mSource | YelpSource | BookSource | CustomSource, Field(discriminator="reader")
]

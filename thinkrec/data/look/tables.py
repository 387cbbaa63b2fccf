"""What was found out about the user's files, and what `prep` made of them, as tables and remarks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from thinkrec.data.database import text_in_sql
from thinkrec.data.look import Looked
from thinkrec.data.look.columns import PLACED, SEEN, Choice
from thinkrec.data.look.roles import Role
from thinkrec.data.look.values import LIKED, NONE, number_of
from thinkrec.data.moments import as_text

_SEPARATORS = {
    ",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces",
    "::": "double colons",
}  # fmt: skip
_NANOSECONDS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
_FIRST = 631_152_000 * 10**9
"""1990, before which `prep` reads no moment."""
_ENCODINGS = (
    "cp1250", "iso8859-2", "cp1254", "cp1251", "mac-roman", "shift-jis", "gb18030", "cp1252",
)  # fmt: skip
"""Usual encodings, for a remark."""
_WESTERN = ("latin-1", "cp1252")
"""Encodings that differ in quotes and dashes alone."""
_SHOWING: tuple[Role, ...] = ("user", "item", "title")
"""Roles of text by which a user sees whether the encoding is right."""
_REASONS = {
    "timestamp cannot be read": "the time can't be read",
    "timestamp": "the time is in another unit, or not from 1990 to 2099",
    "unknown item": "the file of items lacks the item",
    "duplicate": "given twice",
    "rating is not a number": "the rating is not a number",
    "label is": "the label is not 1 or 0, yes or no",
    "empty user id": "the user is missing",
    "empty item id": "the item is missing",
}
"""Beginnings of the reasons why `prep` leaves rows out, in plain words; the first that fits is taken."""
_CLOCK = re.compile(r"\s*\d\d?:\d\d(:\d\d(\.\d+)?)?(\s*[AaPp]\.?[Mm]\.?)?\s*")
"""A time of day."""
_MOST = 60
"""Most characters of a value that are shown."""


def found_tables(looked: Looked) -> Iterator[RenderableType]:
    """Yield for each file how it is read, and one row as understood; then remarks on what is a guess."""
    for choice in (looked.events, looked.items):
        if choice is not None:
            yield _table(choice, looked)
            if choice.free:
                yield Text(f"not used: {_short(', '.join(choice.free), 200)}")
            yield Text()
    for remark in remarks(looked):
        yield Text(f"- {remark}")


def _table(choice: Choice, looked: Looked) -> Table:
    row = _sample(choice, looked.guessed)
    table = Table(title=Text(_format(choice)), title_justify="left")
    for name in ("what", "column", "one row", "understood as", "chosen"):
        table.add_column(name, overflow="fold")
    for role, column in choice.found.items():
        value = row[choice.head.columns.index(column.name)]
        cells = (
            role,
            _short(column.name),
            _short(value),
            _short(_understood(role, value, looked)),
            column.how,
        )
        table.add_row(*map(Text, cells))
    return table


def _format(choice: Choice) -> str:
    """Say how a file is read."""
    head = choice.head
    rows = f"{len(head.rows):,} rows" if head.complete else f"its first {len(head.rows):,} rows"
    if head.kind != "text":
        return f"{head.path.name}: {'JSON' if head.kind == 'json' else 'Parquet'}, {rows}"
    dialect = head.dialect
    separator = _SEPARATORS.get(dialect.separator, repr(dialect.separator))
    header = "a header" if dialect.header else "no header"
    return f"{head.path.name}: columns between {separator}, {header}, {dialect.encoding.upper()}, {rows}"


def _sample(choice: Choice, guessed: bool) -> list[str]:
    """Return the first row with a value in all chosen columns, if there is one.

    Where the encoding is a guess, such rows with an accent go first: they show whether it is right.
    """
    places = {role: choice.head.columns.index(column.name) for role, column in choice.found.items()}

    def rank(row: list[str]) -> tuple[bool, bool]:
        full = not any(row[place].strip().lower() in ("", *NONE) for place in places.values())
        texts = "".join(row[places[role]] for role in _SHOWING if guessed and role in places)
        accent = any(sign.isalpha() and not sign.isascii() for sign in texts)
        return full, accent and "\ufffd" not in texts

    return max(choice.head.rows, key=rank)


def _understood(role: Role, value: str, looked: Looked) -> str:
    """Say what `prep` makes of a value."""
    if role == "timestamp":
        return _moment(value, looked.source.time)
    if role == "label":
        return "like" if value.strip().lower() in LIKED else "dislike"
    if role == "rating":
        number = number_of(value)
        if number is None:
            return "not a number"
        if looked.source.min_rating is not None and number < looked.source.min_rating:
            return "not rated"
        return "like" if number > looked.source.positive_above else "dislike"
    return value.strip() if role in ("title", "description") else value


def _moment(value: str, unit: str) -> str:
    query = "SELECT epoch_ns(TRY_CAST(? AS TIMESTAMPTZ_NS))"
    if unit in _NANOSECONDS:
        query = f"SELECT TRY_CAST(TRY_CAST(? AS DECIMAL(38, 9)) * {_NANOSECONDS[unit]} AS BIGINT)"
    elif unit != "text":
        query = f"SELECT epoch_ns(try_strptime(?, {text_in_sql(unit)}))"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        moment = connection.execute(query, [value]).fetchall()[0][0]
    if moment is None or moment < _FIRST:
        return f"not a time since 1990 ({unit})"
    return f"{as_text(moment)} UTC ({unit})"


def _short(text: str, most: int = _MOST) -> str:
    """Shorten a value, on one line."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}..."


def remarks(looked: Looked) -> Iterator[str]:
    """Yield what the user should check, and how to change it."""
    guessed = [(role, column.name) for choice in (looked.events, looked.items) if choice
               for role, column in choice.found.items() if column.how in (SEEN, PLACED)]  # fmt: skip
    if guessed:
        named = ", ".join(f"{role} = {name}" for role, name in guessed)
        swap = next((role for role, _ in guessed), "user")
        yield f"not clear from the columns' names, please check: {named}. `--set {swap}=COLUMN` names another"
    if looked.items is not None and (close := looked.items.close):
        title, others = looked.items.found["title"].name, " or ".join(f"`{name}`" for name in close[:4])
        yield f"title = {title}, but {others} could be the title, too: `--set title=COLUMN` names another"
    moments = looked.events.looks[looked.source.timestamp]
    if (hours := _hours(looked)) is not None:
        yield (
            f"`{looked.source.timestamp}` has days only, and the times of day in `{hours}` are not used, so "
            "rows of one day count in the order of the file: to use them, write both into one column"
        )
    if moments.swapped is not None and looked.source.time == moments.unit:
        yield (
            f"day and month can't be told apart, {moments.unit} is a guess: `--set time='{moments.swapped}'` "
            "swaps them"
        )
    scale = looked.scale
    if scale is not None and scale.unrated is not None:
        yield (
            f"{scale.unrated:g} is taken for not rated: `min_rating: 0` leaves out {scale.without:.0%} of "
            "the rows. `--set min_rating=null` keeps them"
        )
    if scale is not None:
        what = "look like counts" if scale.counts else "are ratings"
        yield (
            f"values from {scale.lowest:g} to {scale.highest:g} {what}: above "
            f"{looked.source.positive_above:g} is a like, {scale.likes:.0%} of the rows. "
            "`--set positive_above=...` changes that"
        )
    if looked.guessed:
        own = looked.source.encoding
        alike = _WESTERN if own in _WESTERN else (own,)
        yield (
            f"{own} is a guess: if letters above look wrong, `--set encoding=...` names another, such as "
            f"{', '.join(each for each in _ENCODINGS if each not in alike)}"
        )
    if not looked.titled:
        yield (
            "no titles: an item's title is its id, so a language model has nothing to read. Encoders and "
            "gbdt need none; `--items FILE` gives titles"
        )


def _hours(looked: Looked) -> str | None:
    """Return an unused column of times of day, if the column of times has days alone."""
    head, source = looked.events.head, looked.source
    days = head.values(source.timestamp)
    if source.time in _NANOSECONDS or "%H" in source.time or any(":" in day for day in days):
        return None
    for name in looked.events.free:
        values = [value for value in head.values(name) if value.strip()]
        if values and all(map(_CLOCK.fullmatch, values)):
            return name
    return None


def prep_tables(facts: dict[str, Any], looked: Looked, cut: list[str]) -> Iterator[RenderableType]:
    """Yield what a dry run of `prep` read, dropped and split.

    Args:
        facts: of the run.
        looked: the files.
        cut: names of files of which it read the beginning.
    """
    for name, counts in facts["files"].items():
        yield Text(_counts(looked.files[name], counts, name in cut))
    for name in cut:
        if name not in facts["files"]:
            yield Text(f"dry run of prep: {looked.files[name].name} is too large, and was left out")
    for why, count in facts["left_out"].items():
        yield Text(f"  {count:,} left out: {why}")
    table = Table()
    for name in ("split", "rows", "users", "items", "likes", "warm", "first day", "last day"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for name, split in facts["splits"].items():
        counts = (f"{split[key]:,}" for key in ("rows", "users", "items"))
        shares = (f"{split[key] / split['rows']:.0%}" for key in ("likes", "warm"))
        table.add_row(name, *counts, *shares, split["first_day"], split["last_day"])
    yield table
    yield Text("warm: user and item both occur in train")


def _counts(path: Path, counts: dict[str, Any], cut: bool) -> str:
    """Say how many rows of a file can be used, and why others can't."""
    which = "its first " if cut else ""
    said = f"dry run of prep: {path.name}: {counts['read']:,} of {which}{counts['given']:,} rows can be used"
    for reason, count in counts["quarantined"].items():
        plain = next((words for start, words in _REASONS.items() if reason.startswith(start)), reason)
        said += f"; {count:,} {'row' if count == 1 else 'rows'} left out: {plain}"
    return said

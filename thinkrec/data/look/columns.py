"""Which column is what: by the user's word, by its name, by its values, by its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import floor
from shlex import quote
from typing import Any

import duckdb

from thinkrec.config.sections import Prep
from thinkrec.config.sources import UNITS
from thinkrec.config.text import clean
from thinkrec.data.look.heads import Head
from thinkrec.data.look.names import fits, words_of
from thinkrec.data.look.roles import EVENT_ROLES, ITEM_ROLES, Role
from thinkrec.data.look.values import Values, are_moments, is_number, unread_times, values_of
from thinkrec.errors import ConfigError, DataError

TOLD, NAMED, SEEN, PLACED = "you said so", "by its name", "by its values", "a guess, by its place"
"""How a column was chosen; the last two may be wrong."""
_MAX_STARS = 101
"""Most different values of a column that is taken for ratings without such a name."""
_FILLED = 0.5
"""Share of rows with a value, below which a column is taken by its name alone."""
_COVERED = 0.3
"""Share of the events' items among a column's values from which on it is taken for the items' ids."""
_EVENTS = frozenset({
    "view", "views", "pageview", "pv", "click", "cart", "addtocart", "fav", "buy", "purchase", "transaction",
    "order", "play", "listen", "watch", "download", "install",
})  # fmt: skip
"""Kinds of events, without spaces and underscores."""
_ID = frozenset({"id", "no", "nr", "number", "key", "code", "index"})
"""Words of columns whose numbers measure nothing."""
_STEP = 0.05
"""The share of rows that a message offers to leave out is a multiple of this: other rows may be bad, too."""
_MIXED = 1 / 3
"""Share of the rows with digits that can't be read as times from which on two formats seem to be mixed."""
_DAYS = (32_874, 51_502)
"""Days since 1900, as spreadsheets count them, lie between: from 1990 to 2040."""
_BOTH: tuple[Role, ...] = ("user", "item")


@dataclass(frozen=True)
class Column:
    """A column and how it was chosen: TOLD, NAMED, SEEN or PLACED."""

    name: str
    how: str


class Choice:
    """The columns of a file by role: `found`, and in `close` those that may be the titles as well.

    Args:
        head: the file.
        told: role -> column, as the user says; None: there is none.
        roles: that columns of this file can have.

    Raises:
        ConfigError: the file has no such column.
    """

    def __init__(self, head: Head, told: Mapping[str, Any], roles: tuple[Role, ...]) -> None:
        self.head = head
        self.found: dict[Role, Column] = {}
        self.close: list[str] = []
        self.without = {role for role in roles if role in told and told[role] is None}
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            self.looks = {name: values_of(head.values(name), connection) for name in head.columns if name}
        for role in roles:
            if (name := told.get(role)) is not None:
                self._take(role, _present(head, role, str(name)), TOLD)

    def _take(self, role: Role, name: str, how: str) -> None:
        self.found[role] = Column(name, how)

    @property
    def free(self) -> list[str]:
        """Columns without a role."""
        taken = {column.name for column in self.found.values()}
        return [name for name in self.looks if name not in taken]

    def by_name(self, role: Role, suited: Mapping[str, Values]) -> None:
        """Take the column whose name fits best, if any does."""
        if role in self.found or role in self.without:
            return
        best = max((fits(role, name) for name in suited), default=0.0)
        if best > 0:
            self._take(role, next(name for name in suited if fits(role, name) == best), NAMED)

    def take_first(self, role: Role, names: list[str], how: str) -> None:
        """Take the first of some columns that is mostly filled."""
        names = [name for name in names if self.looks[name].filled > _FILLED]
        if role not in self.found and role not in self.without and names:
            self._take(role, names[0], how)

    def suited(self, role: Role) -> dict[str, Values]:
        """Return the columns without a role whose values can have it."""
        return {name: self.looks[name] for name in self.free if _can_be(role, self.looks[name])}

    def drop(self, role: Role) -> None:
        """Take a role away."""
        self.found.pop(role, None)


def _present(head: Head, role: str, name: str) -> str:
    if name in head.columns and name:
        return name
    near = get_close_matches(name, head.columns, n=1)
    hint = f"did you mean {near[0]!r}? It" if near else "it"
    raise ConfigError(f"--set {role}={name}: {head.path} has no such column; {hint} has {_listed(head)}")


def _listed(head: Head) -> str:
    return clean(", ".join(head.columns), 500)


def _can_be(role: Role, look: Values) -> bool:
    """Say whether a column's values can have a role."""
    match role:
        case "timestamp":
            return look.unit is not None
        case "label":
            return look.label and look.distinct > 1
        case "rating":
            return len(look.numbers) > 1 and look.unit is None
        case "user" | "item":
            kind = look.whole if look.numbers else look.unit is None
            return look.distinct > 1 and kind and look.words < 20
        case "item_id":
            return look.distinct > 1
        case "title" | "description":
            return not look.numbers and look.unit is None and look.filled > 0
        case "categories":
            return not look.numbers and look.unit is None and look.filled > 0
    raise ValueError(role)


def event_columns(head: Head, told: Mapping[str, Any]) -> Choice:
    """Find the columns of user, item, rating or label, and moment.

    Raises:
        ConfigError: the user named a column that is not there.
        DataError: one of them can't be found, or there is one row only.
    """
    if len(head.rows) == 1:
        raise DataError(
            f"{head.path} has one row only, {', '.join(head.rows[0])[:200]!r}: rows of several users and "
            "items are needed"
        )
    choice = Choice(head, told, EVENT_ROLES)
    plain = {name: look for name, look in choice.suited("timestamp").items() if look.unit in UNITS}
    choice.by_name("timestamp", plain)
    choice.by_name("timestamp", choice.suited("timestamp"))
    if "time" in told:  # values that init can't read
        choice.by_name("timestamp", {name: choice.looks[name] for name in choice.free})
        choice.take_first("timestamp", [name for name in choice.free if choice.looks[name].dated], SEEN)
    for role in _BOTH:
        choice.by_name(role, choice.suited(role))
    if "label" not in choice.found and "rating" not in choice.found:
        _verdicts(choice)
    choice.take_first("timestamp", [name for name in plain if name in choice.free], SEEN)
    choice.take_first("timestamp", list(choice.suited("timestamp")), SEEN)
    if head.kind == "text" and not head.dialect.header:
        _numbers(choice)
    for role in _BOTH:
        choice.take_first(role, list(choice.suited(role)), PLACED)
    _require(choice, timed="time" in told)
    choice.found = {role: choice.found[role] for role in EVENT_ROLES if role in choice.found}
    return choice


def _verdicts(choice: Choice) -> None:
    """Take the column of ratings, else of labels, by name; ratings of 0 and 1 alone are labels."""
    choice.by_name("rating", choice.suited("rating"))
    rating = choice.found.get("rating")
    if rating is None:
        choice.by_name("label", choice.suited("label"))
    elif choice.looks[rating.name].label:
        choice.drop("rating")
        choice.found["label"] = rating
    if "rating" not in choice.found and "label" not in choice.found:
        named = {name: look for name, look in choice.suited("label").items() if fits("rating", name)}
        choice.by_name("rating", named)  # ratings of true and false
        if "rating" in choice.found:
            choice.found["label"] = choice.found.pop("rating")


def _numbers(choice: Choice) -> None:
    """Take the column with fewest different numbers as ratings, or as labels, where columns have no names."""
    if "rating" in choice.found or "label" in choice.found:
        return
    suited = choice.suited("rating") | choice.suited("label")
    few = [name for name, look in suited.items() if len(look.numbers) <= _MAX_STARS]
    few.sort(key=lambda name: suited[name].distinct)
    if few and len(choice.head.rows) > suited[few[0]].distinct:
        choice.take_first("label" if suited[few[0]].label else "rating", few, SEEN)


def _require(choice: Choice, timed: bool) -> None:
    """Check that all roles are taken.

    Args:
        choice: columns of the events.
        timed: whether the user says how moments are written.

    Raises:
        DataError: one is not.
    """
    found = choice.found
    moment = found.get("timestamp")
    if moment is None or (choice.looks[moment.name].unit is None and not timed):
        raise DataError(_no_time(choice))
    if "rating" not in found and "label" not in found:
        raise DataError(_no_verdict(choice))
    for role in _BOTH:
        if role not in found:
            raise DataError(_no_role(choice, role))


def _no_role(choice: Choice, role: Role) -> str:
    """Say that no column has users or items, or that the one that is named so has one value only."""
    head = choice.head
    for name in choice.free:
        if fits(role, name) > 0 and choice.looks[name].distinct == 1:
            value = max(head.values(name))[:40]
            return (
                f"{head.path}: column `{name}` has one value only, {value!r}: several {role}s "
                f"are needed; `--set {role}=COLUMN` names another column"
            )
    return f"{head.path} has no column of {role}s: name it by `--set {role}=COLUMN`; it has {_listed(head)}"


def _no_verdict(choice: Choice) -> str:
    """Say why no column has ratings or labels, and what can be done."""
    head = choice.head
    named = [name for role in ("rating", "label") for name in choice.free if fits(role, name)]
    for name in named:
        if fault := _fault(choice, name):
            return f"{head.path}: column `{name}` {fault}"
    kinds = next((name for name in choice.free if _kinds(choice, name)), None)
    events = "views and purchases" if kinds is None else f"events such as those of column `{kinds}`"
    said = (
        f"{head.path} has no column of ratings or labels: thinkrec learns from likes and dislikes, so "
        f"{events} alone can't be used; add a column of 1 for what users liked and 0 for what they did not, "
        "and name it by `--set label=COLUMN`"
    )
    numbers = [name for name in choice.suited("rating") if not _ID & set(words_of(name))]
    if numbers:
        some = " or ".join(f"`{name}`" for name in numbers[:4])
        said += f"; if {some} says how much users liked items, name it by `--set rating=COLUMN`"
    return f"{said}; it has {_listed(head)}"


def _fault(choice: Choice, name: str) -> str | None:
    """Say why a column whose name says ratings or labels can't be used; None if its values don't say."""
    values = [value for value in choice.head.values(name) if value.strip()]
    if not values:
        return "is empty in all rows that were looked at: write ratings there, or labels of 0 and 1"
    look = choice.looks[name]
    if look.distinct == 1:
        return f"has the same value in all rows, {values[0][:40]!r}: both likes and dislikes are needed"
    if not look.numbers and look.unit is None and not _kinds(choice, name):
        first = next(value for value in values if not is_number(value))
        return (
            f"has values that are not numbers, such as {first[:40]!r}: write ratings as numbers such as 3.5, "
            "or labels as 1 and 0, or yes and no"
        )
    return None


def _kinds(choice: Choice, name: str) -> bool:
    """Say whether a column holds kinds of events, such as views."""
    return bool(_EVENTS & {re.sub(r"\W|_", "", value.lower()) for value in choice.head.values(name)[:1000]})


def _no_time(choice: Choice) -> str:
    """Say why no column has moments, and what can be done."""
    head = choice.head
    told = choice.found.get("timestamp")
    names = [told.name] if told else sorted(choice.free, key=lambda name: -fits("timestamp", name))
    for name in names:
        look, values = choice.looks[name], [value for value in head.values(name) if value.strip()]
        named = bool(told or fits("timestamp", name))
        if values and are_moments(values):
            return (
                f"{head.path}: column `{name}` has times in several units, such as "
                f"{min(values, key=len)!r} and {max(values, key=len)!r}: write all in seconds since 1970"
            )
        if (named or look.dated) and (unread := unread_times(head.values(name))):
            return _unread(head, name, *unread)
        if look.dated:
            return (
                f"{head.path}: column `{name}` has dates that can't be read, such as {values[0][:40]!r}: "
                "write them as 2012-01-03 15:28:18, or say their format by `--set time='%d.%m.%Y %H:%M'`"
            )
        if values and (named or "year" in name.lower()):
            said = f"{head.path}: column `{name}` has values that are not times, such as {values[0][:40]!r}: "
            if look.numbers and _DAYS[0] <= look.numbers[0] and look.numbers[-1] <= _DAYS[1]:
                return (
                    f"{said}they seem to be numbers of days, as spreadsheets keep dates; write them as dates "
                    "such as 2012-01-03 15:28:18"
                )
            return f"{said}write dates such as 2012-01-03 15:28:18, or seconds since 1970 (days times 86,400)"
    return (
        f"{head.path} has no column of dates or times: each row needs one, in seconds since 1970 or as text "
        f"such as 2012-01-03 15:28:18; it has {_listed(head)}"
    )


def _unread(head: Head, name: str, unit: str, bad: list[int]) -> str:
    """Say which times can't be read, and how to go on without their rows."""
    values, total = head.values(name), len(head.rows)
    first = next(row for row in bad if values[row].strip())
    where = f"row {first + 1:,}" + (" below the header" if head.dialect.header else "")
    said = (
        f"{head.path}: column `{name}` has {len(bad):,} of {total:,} values that can't be read as times, the "
        f"first is {values[first][:40]!r} in {where}: "
    )
    if sum(any(map(str.isdigit, values[row])) for row in bad) >= _MIXED * total:
        return f"{said}two formats seem to be mixed; write all as dates such as 2012-01-03 15:28:18"
    share = min((floor(len(bad) / total / _STEP) + 1) * _STEP, 1)
    settings = [f"timestamp={name}", f"time={unit}"]
    if share > Prep().max_bad_rows:
        settings.append(f"max_bad_rows={share:.2g}")
    shown = " ".join(f"--set {quote(each)}" for each in settings)
    return f"{said}correct them, or leave these rows out by `{shown}`"


def item_columns(head: Head, told: Mapping[str, Any], ids: set[str], events: str) -> Choice:
    """Find the columns of id, title, description and categories.

    Args:
        head: the items' file.
        told: what the user says.
        ids: items of the events.
        events: name of their file, for messages.

    Raises:
        ConfigError: the user named a column that is not there.
        DataError: no column has the events' items.
    """
    choice = Choice(head, told, ITEM_ROLES)
    covered = {
        name: len(ids & set(head.values(name))) / max(min(len(ids), look.distinct), 1) * look.unique
        for name, look in choice.suited("item_id").items()
    }
    best = max(covered.values(), default=0.0)
    alike = {name: look for name, look in choice.suited("item_id").items() if covered[name] >= best * 0.9}
    if best >= _COVERED:
        choice.by_name("item_id", alike)
        choice.take_first("item_id", sorted(alike, key=lambda name: -covered[name]), SEEN)
    choice.by_name("item_id", choice.suited("item_id"))
    choice.take_first("item_id", list(choice.suited("item_id")), PLACED)
    if "item_id" not in choice.found:
        raise DataError(
            f"{head.path} has no column of ids: name it by `--set item_id=COLUMN`; it has {_listed(head)}"
        )
    own = choice.found["item_id"].name
    _check_ids(head, own, ids, events)
    if head.complete and not ids & set(head.values(own)):
        raise DataError(
            f"{head.path}: column `{own}` has none of the items of {events}, such as {min(ids)!r}: name the "
            f"column of their ids by `--set item_id=COLUMN`; it has {_listed(head)}"
        )
    _titles(choice)
    choice.by_name("categories", choice.suited("categories"))
    choice.by_name("description", choice.suited("description"))
    parted = [name for name, look in choice.suited("categories").items() if look.parted > 0.3]
    choice.take_first("categories", parted, SEEN)
    texts = choice.suited("title")
    most = sorted(texts, key=lambda name: (texts[name].words > 20, texts[name].unique < 0.8))
    choice.take_first("title", most, SEEN)
    choice.found = {role: choice.found[role] for role in ITEM_ROLES if role in choice.found}
    return choice


def _titles(choice: Choice) -> None:
    """Take the column whose name says title most; of those alike, the one with most different values.

    A column with few different values, or with long texts, counts as if its name were two rules further down.
    """
    if "title" in choice.without or "title" in choice.found:
        return
    count, ranks = len(choice.head.rows), {}
    for name, look in choice.suited("title").items():
        if (score := fits("title", name)) > 0:
            unlikely = look.distinct < count / 2 or look.words > 20
            ranks[name] = (score - 2 * unlikely, round(look.distinct / count, 1))
    if ranks:
        best = max(ranks, key=lambda name: ranks[name])
        choice.found["title"] = Column(best, NAMED)
        choice.close = [name for name in ranks if name != best and ranks[name][0] >= ranks[best][0] - 1]


def _check_ids(head: Head, own: str, ids: set[str], events: str) -> None:
    """Check that the files write ids alike.

    Raises:
        DataError: most ids differ only by zeros, such as 72.0 and 72, or 007 and 7.
    """
    listed = set(head.values(own))
    bare = {_bare(value): value for value in listed}
    alike = sorted(each for each in ids - listed if _bare(each) in bare)
    if len(alike) > len(ids & listed):
        raise DataError(
            f"{events} writes an item's id as {alike[0]!r}, {head.path} as {bare[_bare(alike[0])]!r} in "
            f"column `{own}`: write ids alike in both files"
        )


def _bare(value: str) -> str:
    """A number without zeros that don't count."""
    value = value.strip()
    return re.sub(r"\.0+$", "", value).lstrip("0") if is_number(value) else value

"""Which column is what: by the user's word, by its name, by its values, by its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import duckdb

from thinkrec.config.text import clean
from thinkrec.data.look.heads import Head
from thinkrec.data.look.names import fits
from thinkrec.data.look.roles import EVENT_ROLES, ITEM_ROLES, Role
from thinkrec.data.look.values import Values, values_of
from thinkrec.errors import ConfigError, DataError

TOLD, NAMED, SEEN, PLACED = "you said so", "by its name", "by its values", "a guess, by its place"
"""How a column was chosen; the last two may be wrong."""
_MAX_STARS = 101
"""Most different values of a column that is taken for ratings without such a name."""
_FILLED = 0.5
"""Share of rows with a value, below which a column is taken by its name alone."""
_COVERED = 0.3
"""Share of the events' items among a column's values from which on it is taken for the items' ids."""
_BOTH: tuple[Role, ...] = ("user", "item")


@dataclass(frozen=True)
class Column:
    """A column and how it was chosen: TOLD, NAMED, SEEN or PLACED."""

    name: str
    how: str


class Choice:
    """The columns of a file by role.

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
            return look.distinct > 1 and (look.whole or not look.numbers) \
                and look.unit != "text" and look.words < 20  # fmt: skip
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
        DataError: one of them can't be found.
    """
    choice = Choice(head, told, EVENT_ROLES)
    choice.by_name("timestamp", choice.suited("timestamp"))
    for role in _BOTH:
        choice.by_name(role, choice.suited(role))
    if "label" not in choice.found and "rating" not in choice.found:
        _verdicts(choice)
    choice.take_first("timestamp", list(choice.suited("timestamp")), SEEN)
    _numbers(choice)
    for role in _BOTH:
        choice.take_first(role, list(choice.suited(role)), PLACED)
    _require(choice)
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
    """Take the column with fewest different numbers as ratings, or as labels, if no name says which."""
    if "rating" in choice.found or "label" in choice.found:
        return
    suited = choice.suited("rating") | choice.suited("label")
    few = [name for name, look in suited.items() if len(look.numbers) <= _MAX_STARS]
    few.sort(key=lambda name: suited[name].distinct)
    if few and len(choice.head.rows) > suited[few[0]].distinct:
        choice.take_first("label" if suited[few[0]].label else "rating", few, SEEN)


def _require(choice: Choice) -> None:
    head, found = choice.head, choice.found
    if "timestamp" not in found:
        raise DataError(_no_time(choice))
    if "rating" not in found and "label" not in found:
        raise DataError(
            f"{head.path} has no column of ratings or labels: thinkrec learns from likes and dislikes, so "
            f"name one by `--set rating=COLUMN`, or `--set label=COLUMN` where it holds 0 and 1 or true and "
            f"false; it has {_listed(head)}"
        )
    for role in _BOTH:
        if role not in found:
            raise DataError(
                f"{head.path} has no column of {role}s: name it by `--set {role}=COLUMN`; it has "
                f"{_listed(head)}"
            )


def _no_time(choice: Choice) -> str:
    head = choice.head
    for name in choice.free:
        if choice.looks[name].dated:
            value = next(value for value in head.values(name) if value)
            return (
                f"{head.path}: column `{name}` has dates that can't be read, such as {value[:40]!r}: write "
                "them as 2012-01-03 15:28:18"
            )
    return (
        f"{head.path} has no column of moments: each row needs one, in seconds since 1970 or as text such as "
        f"2012-01-03 15:28:18; it has {_listed(head)}"
    )


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
    if head.complete and not ids & set(head.values(own)):
        raise DataError(
            f"{head.path}: column `{own}` has none of the items of {events}, such as {min(ids)!r}: name the "
            f"column of their ids by `--set item_id=COLUMN`; it has {_listed(head)}"
        )
    choice.by_name("title", choice.suited("title"))
    choice.by_name("categories", choice.suited("categories"))
    choice.by_name("description", choice.suited("description"))
    parted = [name for name, look in choice.suited("categories").items() if look.parted > 0.3]
    choice.take_first("categories", parted, SEEN)
    texts = choice.suited("title")
    most = sorted(texts, key=lambda name: (texts[name].words > 20, texts[name].unique < 0.8))
    choice.take_first("title", most, SEEN)
    choice.found = {role: choice.found[role] for role in ITEM_ROLES if role in choice.found}
    return choice

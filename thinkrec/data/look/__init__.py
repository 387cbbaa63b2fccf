"""Find out how a user's own files are to be read: their format, their columns, their units."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinkrec.config.sources import CustomSource
from thinkrec.config.tree import keys
from thinkrec.data.dialect import Dialect
from thinkrec.data.look.columns import Choice, event_columns, item_columns
from thinkrec.data.look.heads import Head, head_of
from thinkrec.data.look.roles import EVENT_ROLES, ITEM_ROLES
from thinkrec.data.look.scale import Scale, scale_of
from thinkrec.data.rawcsv import resolve
from thinkrec.data.readers.custom import FALLBACK_SEPARATORS, SEPARATORS
from thinkrec.errors import ConfigError, DataError

SETTABLE = tuple(
    key for key in keys(CustomSource) if key not in ("reader", "raw", "watch", "ratings", "items")
)
"""Keys of a `custom` entry that the user may set."""
LIMIT = "max_bad_rows"
"""Key of `prep` that the user may set as well."""


@dataclass(frozen=True)
class Looked:
    """What was found out about the user's files.

    Args:
        source: the entry of params.yaml.
        events: the file of interactions, and its columns.
        items: the file of items, and its columns.
        scale: of the ratings; None for labels, and where no rating is a number.
        files: names in the raw folder -> files.
        guessed: whether the encoding is a guess.
    """

    source: CustomSource
    events: Choice
    items: Choice | None
    scale: Scale | None
    files: dict[str, Path] = field(default_factory=dict)
    guessed: bool = False

    @property
    def titled(self) -> bool:
        """Whether items have titles."""
        return self.items is not None and "title" in self.items.found


def look(events: Path, items: Path | None, raw: str, told: Mapping[str, Any], spool: Path) -> Looked:
    """Find out how a file of interactions, and one of items, are to be read.

    Args:
        events: users' ratings or labels of items, with moments.
        items: ids, titles and other texts of items.
        raw: raw folder of the entry.
        told: what the user says of the entry's keys; the rest is found out.
        spool: folder for copies of the files' beginnings.

    Raises:
        DataError: a file can't be used.
        ConfigError: `told` is wrong, or the files need different values of one key.
    """
    if unknown := [key for key in told if key not in SETTABLE]:
        raise ConfigError(
            f"--set {unknown[0]}: there is no such key; there are {', '.join((*SETTABLE, LIMIT))}"
        )
    own = {"reader": "custom", "raw": raw, "watch": raw}
    _source({**own, **({"rating": None} if "label" in told else {}), **told})
    head = head_of(events, told, spool)
    chosen = event_columns(head, told)
    about = None
    if items is not None:
        ids = {value for value in head.values(chosen.found["item"].name) if value}
        about = item_columns(head_of(items, told, spool, ids), told, ids, str(events))
    heads = [head] if about is None else [head, about.head]
    entry = {**_columns(chosen, about), **_format(heads, chosen, about, told, spool)}
    scale = None
    if "rating" in chosen.found:
        ratings = head.values(chosen.found["rating"].name)
        scale = scale_of(ratings, told.get("positive_above"), "min_rating" in told)
    if scale is not None:
        entry["positive_above"] = scale.positive_above
        if scale.unrated is not None:
            entry["min_rating"] = 0
    names = _names(heads)
    entry |= {"ratings": names[0], "items": names[1] if about else None}
    entry |= {key: value for key, value in told.items() if key not in (*EVENT_ROLES, *ITEM_ROLES)}
    source = _source({**own, **entry})
    files = {name: each.path for name, each in zip(names, heads, strict=True)}
    guessed = "encoding" not in told and not source.encoding.startswith("utf-")
    return Looked(source, chosen, about, scale, files, guessed)


def _source(entry: dict[str, Any]) -> CustomSource:
    """Check the entry.

    Raises:
        ConfigError: a value is not allowed.
    """
    from pydantic import ValidationError

    from thinkrec.config.problems import entry_fault

    try:
        return CustomSource.model_validate(entry)
    except ValidationError as error:
        one_key = bool(error.errors()[0]["loc"])
        raise ConfigError(f"--set{' ' if one_key else ': '}{entry_fault(error)}") from None


def _columns(events: Choice, items: Choice | None) -> dict[str, Any]:
    """Return the keys that name columns, and the unit of moments."""
    entry: dict[str, Any] = {"rating": None, "label": None}
    for choice in (events, items):
        entry |= {role: column.name for role, column in choice.found.items()} if choice else {}
    entry["time"] = events.looks[entry["timestamp"]].unit or "seconds"
    if items is not None:
        entry.setdefault("title", entry["item_id"])
    return entry


def _format(
    heads: list[Head], events: Choice, items: Choice | None, told: Mapping[str, Any], spool: Path
) -> dict[str, Any]:
    """Return the keys that say how tables of text are read, which hold for both files.

    Raises:
        ConfigError: the two need different values.
    """
    tables = [head for head in heads if head.kind == "text"]
    if not tables:
        return {}
    headers = {head.dialect.header for head in tables}
    if len(headers) > 1:
        bare = next(head for head in tables if not head.dialect.header)
        raise ConfigError(f"{bare.path} has no header, the other file has one: write one into both")
    entry: dict[str, Any] = {"header": headers.pop(), "encoding": _encoding(tables)}
    quotes = {head.dialect.quote for head in tables if len(head.dialect.separator) == 1}
    if len(quotes) == 1:
        entry["quote"] = quotes.pop()
    choices = [choice for choice in (events, items) if choice and choice.head.kind == "text"]
    if not all(_resolves(choice, entry, spool) for choice in choices):
        separators = {head.dialect.separator for head in tables}
        if len(separators) > 1:
            first, second = (head.path for head in tables)
            raise ConfigError(f"{first} and {second} have different separators: save both with commas")
        entry["separator"] = separators.pop()
    return entry


def _encoding(tables: list[Head]) -> str:
    """Return the encoding of all tables; one of plain ASCII has any that is made of bytes.

    Text guessed as Latin-1 is cp1252 as well.

    Raises:
        ConfigError: they have different ones.
    """
    found = {head.dialect.encoding: head for head in tables}
    if len(found) == 1:
        return next(iter(found))
    if set(found) == {"latin-1", "cp1252"}:
        return "cp1252"
    (one, first), (other, second) = found.items()
    for encoding, plain in ((one, second), (other, first)):
        if plain.dialect.encoding == "utf-8" and all(map(str.isascii, _texts(plain))):
            with suppress(UnicodeError):
                if "abc,123".encode(encoding) == b"abc,123":
                    return encoding
    raise ConfigError(f"{first.path} is in {one}, {second.path} in {other}: save both as UTF-8")


def _texts(head: Head) -> list[str]:
    return [value for row in head.rows for value in row]


def _resolves(choice: Choice, entry: Mapping[str, Any], spool: Path) -> bool:
    """Say whether `prep` finds a file's separator without being told."""
    head = choice.head
    stem = head.name.lower().removesuffix(".gz").removesuffix(".zst")
    usual = next((each for ending, each in SEPARATORS.items() if stem.endswith(ending)), ",")
    quote = entry.get("quote", '"')
    expected = Dialect(usual, quote if len(usual) == 1 else "", entry["header"], head.dialect.encoding)
    columns = [column.name for column in choice.found.values()]
    try:
        found = resolve(head.path, columns, expected, FALLBACK_SEPARATORS, own=True)
    except DataError:
        return False
    return found.separator == head.dialect.separator


def _names(heads: list[Head]) -> list[str]:
    """Name the files in the raw folder, each otherwise."""
    names = [head.name for head in heads]
    if len(set(names)) < len(names):
        names[1] = f"items-{names[1]}"
    return names

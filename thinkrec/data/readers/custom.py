"""The user's own files: delimited text, JSON lines or Parquet, with columns mapped in params.yaml."""

from __future__ import annotations

from math import inf

from thinkrec.config.sources import CustomSource
from thinkrec.data.database import name_in_sql, text_in_sql
from thinkrec.data.dialect import Dialect
from thinkrec.data.formats import Csv, JsonLines, Parquet, RawFormat
from thinkrec.data.readers.base import Kind, RawFile, Reader
from thinkrec.errors import ConfigError

_ADVICE = "put it there, or name another file in params.yaml"
PREFIX = "its "
"""Prefix of the user's column names, so that they don't clash with ours."""
SEPARATORS = {
    ".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t", ".data": "\t", ".dat": "::",
    ".inter": "\t", ".item": "\t", ".user": "\t",
}  # fmt: skip
"""Separators by file extension; the last three are RecBole's."""
FALLBACK_SEPARATORS = (",", ";", "\t", "|", "::")
"""Tried if the extension's separator does not give the columns."""
_JSON = (".json", ".jsonl", ".ndjson")
_PACKED = (".gz", ".zst")
_UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 1000, "nanoseconds": 1, "text": 1}
"""Nanoseconds per unit."""
_HINT = ": dates and times as text need `time: text`, or their format such as `time: '%d.%m.%Y %H:%M'`"
_HINTS = {**dict.fromkeys(_UNITS, _HINT), "text": ", such as 2012-01-03 15:28:18"}
LIKES, DISLIKES = ("true", "yes", "like"), ("false", "no", "dislike")
"""Labels besides 1 and 0, in any case."""
DECIMAL_COMMA = r"^\s*(-?\d+),(\d{1,2})\s*$"
"""A number with a decimal comma; three digits after a comma may be thousands."""
_NO_ITEMS = """
CREATE TABLE raw_items (
    line BIGINT, reason VARCHAR, item VARCHAR, title VARCHAR, description VARCHAR, categories VARCHAR[]
);
CREATE VIEW items_rows AS FROM raw_items;
"""


def _column(column: str) -> str:
    return name_in_sql(PREFIX + column)


def _format(source: CustomSource, name: str, columns: tuple[str, ...]) -> RawFormat:
    """Choose the format by file extension.

    Raises:
        ConfigError: the extension is unknown.
    """
    stem = name.lower()
    for ending in _PACKED:
        stem = stem.removesuffix(ending)
    if stem.endswith(_JSON):
        return JsonLines(columns, PREFIX)
    if name.lower().endswith(".parquet"):
        return Parquet(columns, PREFIX)
    default = next((each for ending, each in SEPARATORS.items() if stem.endswith(ending)), None)
    if default is None and source.separator is None:
        raise ConfigError(
            f"can't determine the format of {name}: its name must end in {', '.join(SEPARATORS)}, "
            f"{', '.join(_JSON)} (these with {' or '.join(_PACKED)} as well) or .parquet; or set the data "
            "set's `separator`"
        )
    separator = source.separator or default or ","
    quote = source.quote if len(separator) == 1 and separator != source.quote else ""
    dialect = Dialect(separator, quote, source.header, source.encoding)
    return Csv(columns, PREFIX, dialect, () if source.separator else FALLBACK_SEPARATORS)


def _file(source: CustomSource, kind: Kind, name: str, sql: str, *columns: str | None) -> RawFile:
    chosen = tuple(dict.fromkeys(column for column in columns if column))
    return RawFile(kind, (name,), _format(source, name, chosen), sql, advice=_ADVICE)


def _ratings(source: CustomSource) -> str:
    stars, moment = _column(source.rating or source.label or ""), _column(source.timestamp)
    no_rating = ""
    if source.label:
        words = ", ".join((*DISLIKES, *LIKES))
        no_rating = f"SET VARIABLE no_rating = 'label is not one of 0, 1, {words}';"
        stars = f"""CASE
            WHEN lower(trim({stars})) IN {LIKES} OR TRY_CAST({stars} AS DOUBLE) = 1 THEN '1'
            WHEN lower(trim({stars})) IN {DISLIKES} OR TRY_CAST({stars} AS DOUBLE) = 0 THEN '0'
        END"""
    else:
        stars = f"regexp_replace({stars}, '{DECIMAL_COMMA}', '\\1.\\2')"
    if source.time == "text":
        moment = f"moment_of({moment})"
    elif source.time not in _UNITS:
        moment = f"epoch_ns(try_strptime({moment}, {text_in_sql(source.time)}))"
    units = source.time if source.time in _UNITS else "text"
    unread = text_in_sql(f"timestamp cannot be read as {source.time}" + _HINTS.get(source.time, ""))
    return f"""
    SET TimeZone = 'UTC';
    SET VARIABLE unit = {_UNITS[units]};
    SET VARIABLE units = '{units}';
    SET VARIABLE names_time = true;
    CREATE VIEW raw_ratings AS
    SELECT reason, {_column(source.user)} AS "user", {_column(source.item)} AS item,
        {stars} AS rating, {moment} AS timestamp
    FROM ratings_rows;
    {no_rating}
    SET VARIABLE no_time = {unread};
    """


def _items(source: CustomSource) -> str:
    description = f"joined({_column(source.description)})" if source.description else "''"
    categories = f"parts({_column(source.categories)})" if source.categories else "[]::VARCHAR[]"
    separator = text_in_sql(source.category_separator) if source.category_separator else "NULL::VARCHAR"
    return f"""
    SET VARIABLE separator = {separator};
    CREATE VIEW raw_items AS
    SELECT line, reason, item, plain(title) AS title, plain(description) AS description,
        plain_parts(categories) AS categories
    FROM (
        SELECT line, reason, {_column(source.item_id)} AS item, joined({_column(source.title)}) AS title,
            {description} AS description, {categories} AS categories
        FROM items_rows
    );
    """


def custom(source: CustomSource) -> Reader:
    """Build the reader. Without an items file, items are those of the ratings, titled by their ids.

    Raises:
        ConfigError: a file's extension is unknown.
    """
    stars = source.rating or source.label
    columns = (source.user, source.item, stars, source.timestamp)
    ratings = _file(source, "ratings", source.ratings, _ratings(source), *columns)
    doubts = {}
    if source.items is None:
        files = [RawFile("ratings", ratings.names, ratings.format, _NO_ITEMS + ratings.sql, advice=_ADVICE)]
    else:
        texts = (source.title, source.description, source.categories)
        items = _file(source, "items", source.items, _items(source), source.item_id, *texts)
        files = [items, ratings]
        if source.categories:
            what = f"`{source.categories}` looks like a list, but is not one"
            doubts = {what: f"no_list({_column(source.categories)})"}
    if source.label:
        return Reader(tuple(files), 0, 1, 0.5, own=True, doubts=doubts)
    lowest = -inf if source.min_rating is None else source.min_rating
    highest = inf if source.max_rating is None else source.max_rating
    return Reader(tuple(files), lowest, highest, source.positive_above, own=True, doubts=doubts)

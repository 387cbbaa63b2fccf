"""A user's own files: CSV, JSON lines or Parquet, with a mapping of columns in params.yaml."""

from __future__ import annotations

from math import inf

from thinkrec.config.sources import CustomSource
from thinkrec.data.database import name_in_sql
from thinkrec.data.formats import Csv, JsonLines, Parquet, RawFormat
from thinkrec.data.readers.base import Kind, RawFile, Reader
from thinkrec.errors import ConfigError

_ADVICE = "put it there, or name another file in params.yaml"
ITS = "its "
"""Before the names of a user's columns, so that none is taken for one of ours."""
_SECONDS = {
    "seconds": "{}",
    "milliseconds": "(TRY_CAST({} AS BIGINT) // 1000)",
    "text": "floor(epoch(TRY_CAST({} AS TIMESTAMPTZ)))",
}
_NO_ITEMS = """
CREATE TABLE raw_items (
    line BIGINT, reason VARCHAR, item VARCHAR, title VARCHAR, description VARCHAR, categories VARCHAR[]
);
CREATE VIEW items_rows AS FROM raw_items;
"""


def _its(column: str) -> str:
    return name_in_sql(ITS + column)


def _format(name: str, columns: tuple[str, ...]) -> RawFormat:
    """By the file's ending.

    Raises:
        ConfigError: there is no format of that ending.
    """
    plain = name.lower().removesuffix(".gz")
    if plain.endswith((".json", ".jsonl", ".ndjson")):
        return JsonLines(columns, ITS)
    if name.lower().endswith(".csv"):
        return Csv(columns, ITS)
    if name.lower().endswith(".parquet"):
        return Parquet(columns, ITS)
    raise ConfigError(
        f"can't tell the format of {name}: its name must end in .csv, .parquet, or .json, .jsonl, .ndjson "
        "(these three with .gz as well)"
    )


def _file(kind: Kind, name: str, sql: str, *columns: str | None) -> RawFile:
    chosen = tuple(dict.fromkeys(column for column in columns if column))
    return RawFile(kind, (name,), _format(name, chosen), sql, advice=_ADVICE)


def _ratings(source: CustomSource) -> str:
    stars = _its(source.rating or source.label or "")
    no_rating = ""
    if source.label:
        no_rating = "SET VARIABLE no_rating = 'label is none of 0, 1, false, true';"
        stars = f"""CASE
            WHEN lower({stars}) = 'true' OR TRY_CAST({stars} AS DOUBLE) = 1 THEN '1'
            WHEN lower({stars}) = 'false' OR TRY_CAST({stars} AS DOUBLE) = 0 THEN '0'
        END"""
    return f"""
    CREATE VIEW raw_ratings AS
    SELECT reason, {_its(source.user)} AS "user", {_its(source.item)} AS item,
        {stars} AS rating, {_SECONDS[source.time].format(_its(source.timestamp))} AS timestamp
    FROM ratings_rows;
    {no_rating}
    SET VARIABLE no_time = 'timestamp can not be read as {source.time}';
    SET TimeZone = 'UTC';
    """


def _items(source: CustomSource) -> str:
    description = f"plain({_its(source.description)})" if source.description else "''"
    categories = f"plain_parts(parts({_its(source.categories)}))" if source.categories else "[]::VARCHAR[]"
    return f"""
    CREATE VIEW raw_items AS
    SELECT line, reason, {_its(source.item_id)} AS item, plain({_its(source.title)}) AS title,
        {description} AS description, {categories} AS categories
    FROM items_rows;
    """


def custom(source: CustomSource) -> Reader:
    """Without a file of items, they are those of the ratings, with their ids as titles.

    Raises:
        ConfigError: a file's ending says no format.
    """
    stars = source.rating or source.label
    columns = (source.user, source.item, stars, source.timestamp)
    ratings = _file("ratings", source.ratings, _ratings(source), *columns)
    if source.items is None:
        files = [RawFile("ratings", ratings.names, ratings.format, _NO_ITEMS + ratings.sql, advice=_ADVICE)]
    else:
        texts = (source.title, source.description, source.categories)
        files = [_file("items", source.items, _items(source), source.item_id, *texts), ratings]
    if source.label:
        return Reader(tuple(files), 0, 1, 0.5)
    lowest = -inf if source.lowest is None else source.lowest
    highest = inf if source.highest is None else source.highest
    return Reader(tuple(files), lowest, highest, source.positive_above)

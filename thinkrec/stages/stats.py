"""What a paper's table says about a prepared data set, and what was published about it. No pipeline stage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from thinkrec.config.sources import Source
from thinkrec.data.moments import as_text
from thinkrec.data.published import compare
from thinkrec.data.splits import SPLITS
from thinkrec.errors import DataError
from thinkrec.layout import Layout
from thinkrec.runs import read_facts

PARTS = ("all", *SPLITS)
MEMORY = "900MB"
"""Most memory of the process (our choice): 2 million rows take a third, 60 million are spilled."""
_THREADS = 4  # each takes memory of its own


class _File(TypedDict):
    """Rows of a raw file."""

    given: int
    read: int
    quarantined: dict[str, int]


class _Facts(TypedDict):
    """What prep's record says of raw rows; settings and later keys are not in an earlier version's."""

    files: dict[str, _File]
    left_out: NotRequired[dict[str, int]]
    warnings: NotRequired[list[str]]
    ratings_of_known_items: NotRequired[int | None]
    settings: NotRequired[dict[str, Any] | None]


def statistics(layout: Layout, source: Source) -> dict[str, Any]:
    """Describe the prepared tables.

    Args:
        layout: where the tables and prep's record lie.
        source: the data set's section of params.yaml. Whether published counts apply is decided by the
            settings in prep's record, or by this where that has none.

    Returns:
        `parts`: all, train, valid, test -> counts and shares; None where a part has no rows to divide by.
        `lists`: items and users listed, without rows, without a title. `prep`: what prep dropped, or None
        without its record. `published`: see `thinkrec.data.published.compare`; None where nothing was.

    Raises:
        DataError: a table or the record is not what prep writes.
        StorageError: the disk is full or may not be written (for spilled rows).
    """
    counts, lists = _measure(layout)
    parts = {part: _part(counts.get(part, {}), part) for part in PARTS}
    prep = _dropped(layout)
    stats = {"dataset": layout.dataset, "parts": parts, "lists": lists, "prep": prep}
    return {**stats, "published": compare(stats, _used(source, prep))}


def _used(source: Source, prep: Mapping[str, Any] | None) -> Source:
    """The settings that prep ran with, where its record has them: params.yaml may have changed since."""
    if prep is None or prep["settings"] is None:
        return source
    try:
        return TypeAdapter[Source](Source).validate_python({**prep["settings"], "raw": source.raw})
    except ValidationError as error:
        raise DataError(
            f"prep's record holds settings of another version ({error.error_count()} unknown or wrong): "
            "run prep again"
        ) from None


def _measure(layout: Layout) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Counts by part, parts without rows left out; counts of the lists of items and users."""
    import duckdb

    from thinkrec.data.database import connect, rows, run_sql

    files = {name: str(getattr(layout, name)) for name in ("interactions", "items", "users")}
    with connect(layout.work("stats"), memory=MEMORY) as connection:
        connection.execute(f"SET threads = {min(_THREADS, os.cpu_count() or 1)}")
        try:
            run_sql(connection, "stats", **files)
        except (duckdb.BinderException, duckdb.InvalidInputException) as error:
            raise DataError(
                f"{layout.data} holds other tables than prep writes ({str(error).splitlines()[0]}): "
                f"run `thinkrec prep --dataset {layout.dataset}` again"
            ) from error
        parts = {row.pop("part"): row for row in rows(connection, "FROM parts")}
        return parts, rows(connection, "FROM lists")[0]


def _part(row: Mapping[str, Any], part: str) -> dict[str, Any]:
    """One column of the table, from a row of `parts` in stats.sql; an empty mapping: no rows."""
    n, users, items = (row.get(name, 0) for name in ("rows", "users", "items"))
    entry = {
        "rows": n,
        "users": users,
        "items": items,
        "density": _ratio(n, users * items),
        **_counted("positives", row.get("positives", 0), n),
        "first": _moment(row.get("first")),
        "last": _moment(row.get("last")),
        "rows_per_user": _spread(row, "user", _ratio(n, users)),
        "rows_per_item": _spread(row, "item", _ratio(n, items)),
        **_counted("tied_rows", row.get("tied", 0), n),
        "users_one_class": row.get("one_class", 0),
        "users_one_row": row.get("one_row", 0),
    }
    if part in ("valid", "test"):
        for name in ("new_user", "new_item", "new_both", "not_cold"):
            entry |= _counted(name, row.get(name, 0), n)
    return entry


def _counted(name: str, count: int, rows: int) -> dict[str, Any]:
    return {name: count, f"{name}_share": _ratio(count, rows)}


def _ratio(count: int, base: int) -> float | None:
    return count / base if base else None


def _spread(row: Mapping[str, Any], kind: str, mean: float | None) -> dict[str, float | None]:
    return {"mean": mean, **{end: row.get(f"{kind}_{end}") for end in ("min", "median", "max")}}


def _moment(moment: int | None) -> str | None:
    return None if moment is None else as_text(moment).replace(" ", "T") + "Z"


def _dropped(layout: Layout) -> dict[str, Any] | None:
    """From prep's record: rows given, read and quarantined by file, left out by rule, warnings."""
    facts = read_facts(layout, "prep", _Facts)
    if facts is None:
        return None
    return {
        "files": facts["files"],
        "left_out": facts.get("left_out", {}),
        "warnings": facts.get("warnings", []),
        "ratings_of_known_items": facts.get("ratings_of_known_items"),
        "settings": facts.get("settings"),
    }

"""Stage `prep`: raw files to interactions, items, users and splits; what can't be used to quarantine."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Prep, Source
from thinkrec.errors import DataError
from thinkrec.files import whole
from thinkrec.layout import Layout

if TYPE_CHECKING:
    import duckdb

    from thinkrec.data.readers import Reader

_COUNTS = """
SELECT
    split, count(*) AS rows, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items,
    sum(label) AS likes, sum(not_cold) AS warm,
    strftime(make_timestamp(min(timestamp) * 1000000), '%Y-%m-%d') AS first_day,
    strftime(make_timestamp(max(timestamp) * 1000000), '%Y-%m-%d') AS last_day
FROM interactions GROUP BY split
"""
_DATES = """
SELECT
    strftime(make_timestamp(min(timestamp) * 1000000), '%Y-%m-%d') AS first_day,
    strftime(make_timestamp(max(timestamp) * 1000000), '%Y-%m-%d') AS last_day
FROM checked_ratings WHERE reason IS NULL
"""


def prepare(layout: Layout, source: Source, prep: Prep) -> dict[str, Any]:
    """Read a source's raw files and write the tables that all other stages start from.

    Writes interactions, items, users, quarantine, and truth (no rows where the source has none); all appear
    whole or not at all, and the same raw files give the same bytes.

    Args:
        layout: where the tables go.
        source: the raw source; a relative raw folder is taken from the project's root.
        prep: bounds on what can't be used.

    Returns:
        Per raw file the rows given, read and quarantined by reason; per split its rows, users, items,
        likes, warm rows and days; users and items in all; usable rows outside of the splits' window.

    Raises:
        MissingInputError: a raw file is missing.
        DataError: raw files can't be used, a split is empty, or a split has one class only.
        ConfigError: the splits' months overlap.
        StorageError: the disk is full or may not be written.
    """
    from thinkrec.data.database import connect, run_sql
    from thinkrec.data.quarantine import account, refuse_bad_files
    from thinkrec.data.readers import check_files, read, reader_of

    reader, folder = reader_of(source), layout.root / source.raw
    usual = type(source).model_fields["raw"].default
    fetch = f"thinkrec fetch {source.reader}" if source.raw == usual else "putting the raw files there"
    check_files(reader, folder, fetch)
    work = layout.work("prep")
    with connect(work) as connection:
        read(connection, reader, folder, work)
        run_sql(connection, "check", lowest=reader.lowest, highest=reader.highest)
        run_sql(connection, "bad")
        files = account(connection)
        needed = [raw.name for raw in reader.files if raw.needed]
        refuse_bad_files(connection, files, folder, needed, prep.bad_rows)
        run_sql(connection, reader.split.sql, **reader.split.values)
        run_sql(connection, "number", positive_above=source.positive_above)
        facts = {"files": files, **_facts(connection)}
        _check_splits(connection, reader, folder, source.positive_above, facts["splits"])
        _write(connection, layout, prep)
    return facts


def _facts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    from thinkrec.data.database import rows
    from thinkrec.data.splits import SPLITS

    totals = """SELECT
        (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM items) AS items,
        (SELECT count(*) FROM checked_ratings WHERE reason IS NULL)
            - (SELECT count(*) FROM interactions) AS outside_window
    """
    counts = {row.pop("split"): row for row in rows(connection, _COUNTS)}
    return {**rows(connection, totals)[0], "splits": {name: counts.get(name, {"rows": 0}) for name in SPLITS}}


def _check_splits(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    folder: Path,
    positive_above: float,
    splits: dict[str, dict[str, Any]],
) -> None:
    """Refuse an empty split and one without both labels: nothing can be learned or ranked there."""
    from thinkrec.data.database import rows

    for name, counts in splits.items():
        if not counts["rows"]:
            days = rows(connection, _DATES)[0]
            raise DataError(
                f"{folder}: split {name} is empty: {reader.split.explain(name)}, "
                f"and the usable ratings run from {days['first_day']} to {days['last_day']} (UTC)"
            )
    for name, counts in splits.items():
        if counts["likes"] in (0, counts["rows"]):
            which = "at or below" if counts["likes"] == 0 else "above"
            raise DataError(
                f"{folder}: split {name} has one class only: all of its {counts['rows']:,} ratings are "
                f"{which} positive_above = {positive_above:g}; likes and dislikes are needed"
            )


def _write(connection: duckdb.DuckDBPyConnection, layout: Layout, prep: Prep) -> None:
    """Write all tables beside their places first, so that they take them together."""
    from thinkrec.data.database import copy_out
    from thinkrec.data.quarantine import keep_bad_rows

    queries = {
        layout.interactions: "FROM interactions ORDER BY user_id, position",
        layout.items: "FROM items ORDER BY item_id",
        layout.users: "FROM users ORDER BY user_id",
        layout.truth: "FROM truth ORDER BY user_id, position",
    }
    with ExitStack() as stack:
        for path, query in queries.items():
            copy_out(connection, query, stack.enter_context(whole(path)))
        keep_bad_rows(connection, stack.enter_context(whole(layout.quarantine)), prep.quarantine_rows)

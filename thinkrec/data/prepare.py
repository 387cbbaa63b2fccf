"""Raw files to interactions, items, users, splits, graph; what can't be used to quarantine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Prep
from thinkrec.config.sources import Source
from thinkrec.errors import DataError
from thinkrec.files import whole
from thinkrec.layout import Layout

if TYPE_CHECKING:
    import duckdb

    from thinkrec.data.readers.base import Reader
    from thinkrec.data.splits import SplitRule

log = logging.getLogger(__name__)
_COUNTS = """
SELECT
    split, count(*) AS rows, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items,
    sum(label) AS likes, sum(not_cold) AS warm,
    strftime(make_timestamp_ns(min(timestamp)), '%Y-%m-%d') AS first_day,
    strftime(make_timestamp_ns(max(timestamp)), '%Y-%m-%d') AS last_day
FROM interactions GROUP BY split
"""
_WARM = 0.1
"""Share of warm rows below which prep warns."""
_MOMENTS = "* REPLACE (make_timestamp_ns(timestamp) AS timestamp)"
_RELATIONS = "SELECT relation, count(*) AS n FROM graph GROUP BY relation ORDER BY relation"


def prepare(layout: Layout, source: Source, prep: Prep) -> dict[str, Any]:
    """Read a source's raw files and write the tables that all other stages start from.

    Writes interactions, items, users, quarantine, truth (no rows where the source has none), and the graph:
    of each item at most 20 attributes, and at most 10 items that 2 users or more liked as well, counted on
    train's rows alone, of each user the latest 10 likes. All tables appear whole or not at all, and the same
    raw files give the same bytes. Memory is bounded by `prep.max_memory`, time grows with the rows.

    Args:
        layout: where the tables go.
        source: the raw source; a relative raw folder is taken from the project's root.
        prep: bounds on memory and on what can't be used.

    Returns:
        Per raw file the rows given, read and quarantined by reason; the ratings left out by each rule of
        the data set; per split its rows, users, items, likes, warm rows and days; users and items in all;
        triples of the graph by relation; warnings about the split; the settings that made these tables.

    Raises:
        MissingInputError: a raw file is missing.
        DataError: raw files can't be used, a split is empty, or a split has one class only.
        ConfigError: a file's format is unknown, or its remote folder can't be opened that way.
        StorageError: the disk is full or may not be written.
    """
    from thinkrec.data.database import connect, rows, run_sql
    from thinkrec.data.graph import make_graph
    from thinkrec.data.progress import progress
    from thinkrec.data.quarantine import Opened, account, collect, doubts, refuse_bad_files
    from thinkrec.data.readers import check_files, open_files, reader_of
    from thinkrec.data.unpack import naming_broken

    reader, work = reader_of(source), layout.work("prep")
    raw: list[Path] = []
    with (
        naming_broken(raw),
        connect(work, prep.max_memory) as connection,
        progress(connection, layout.dataset) as step,
    ):
        step("finding the raw files")
        folder, shown = _folder(layout, source, reader, work)
        names = check_files(reader, folder, shown, _command(source))
        raw += [folder / name for name in names.values()]
        files = Opened(reader, names, open_files(connection, names, folder, work), shown)
        rule = _split(connection, reader, source, prep, step)
        accounts, left_out = account(connection, files)
        refuse_bad_files(connection, files, accounts, prep.max_bad_rows)
        facts = {"files": accounts, "left_out": left_out, **_facts(connection)}
        _check_splits(connection, rule, shown, reader.positive_above, facts)
        step("reading the items' texts")
        run_sql(connection, "items")
        step("linking the items")
        make_graph(connection)
        facts["graph"] = {row["relation"]: row["n"] for row in rows(connection, _RELATIONS)}
        step("")  # this reads files in Python, which has a bar of its own
        warnings = [*([rule.leak] if rule.leak else []), *doubts(connection, files, accounts)]
        warnings += _few_warm(facts["splits"], f"datasets.{layout.dataset}", source.min_interactions, rule)
        collect(connection, files, accounts)
        step("writing")
        _write(connection, layout)
    for warning in warnings:
        log.warning("%s: %s", layout.dataset, warning)
    settings = source.model_dump(mode="json", exclude={"raw", "watch"})
    return {**facts, "warnings": warnings, "settings": settings}


def _folder(layout: Layout, source: Source, reader: Reader, work: Path) -> tuple[Path, str]:
    """The folder of the raw files, and how messages call it; remote files are copied to the work area."""
    if "://" not in source.raw:
        folder = layout.root / source.raw
        return folder, str(folder)
    from thinkrec.data.remote import bring
    from thinkrec.data.remote.stores import shown

    names = [name for raw in reader.files for name in raw.names]
    return bring(source.raw, dict.fromkeys(names, False), work / "raw"), shown(source.raw)


def _command(source: Source) -> str | None:
    """What makes the raw folder when it is missing, where a command does."""
    if source.reader in ("demo", "ml1m") and source.raw == type(source).model_fields["raw"].default:
        return f"thinkrec fetch {source.reader}"
    return None


def _split(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    source: Source,
    prep: Prep,
    step: Callable[[str], None],
) -> SplitRule:
    """From the opened raw files to numbered interactions."""
    from thinkrec.data.database import rows, run_sql
    from thinkrec.data.splits import split_rule, window

    step("reading the items' ids")
    run_sql(connection, "check_items", cap=prep.max_quarantine_rows)
    step("reading the ratings")
    run_sql(connection, "check_ratings", lowest=reader.lowest, highest=reader.highest)
    if all(raw.kind != "items" for raw in reader.files):
        run_sql(connection, "items_of_ratings")
    earliest = rows(connection, "SELECT min(timestamp) AS s FROM rated WHERE reason IS NULL")[0]["s"]
    rule, (start, stop) = split_rule(source.split, earliest or 0), window(source)
    step("choosing the rows of the window")
    bounds = {"start": max(start, rule.start), "stop": min(stop, rule.stop)}
    run_sql(connection, "inside", repeated=source.repeated, **bounds)
    step("choosing active users and items")
    least = source.min_interactions
    run_sql(connection, "active" if least > 1 else "all_active", min_interactions=least)
    step("splitting")
    run_sql(connection, rule.sql, **rule.values)
    step("numbering")
    run_sql(connection, "number", positive_above=reader.positive_above)
    if any(raw.kind == "truth" for raw in reader.files):
        run_sql(connection, "truth")
    return rule


def _facts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    from thinkrec.data.database import rows
    from thinkrec.data.splits import SPLITS

    totals = """
    SELECT ratings_of_known_items,
        (SELECT count(*) FROM user_ids) AS users, (SELECT count(*) FROM item_ids) AS items
    FROM days
    """
    counts = {row.pop("split"): row for row in rows(connection, _COUNTS)}
    return {**rows(connection, totals)[0], "splits": {name: counts.get(name, {"rows": 0}) for name in SPLITS}}


def _check_splits(
    connection: duckdb.DuckDBPyConnection,
    rule: SplitRule,
    shown: str,
    positive_above: float,
    facts: dict[str, Any],
) -> None:
    """Refuse an empty split and one without both labels: nothing can be learned or ranked there."""
    from thinkrec.data.database import rows

    splits = facts["splits"]
    for name, counts in splits.items():
        if not counts["rows"]:
            days = rows(connection, "FROM days")[0]
            left_out = "".join(f"; {n:,} left out: {why}" for why, n in facts["left_out"].items())
            raise DataError(
                f"{shown}: split {name} is empty: {rule.explain[name]}, and the usable ratings run from "
                f"{days['first_day']} to {days['last_day']} (UTC){left_out}"
            )
    for name, counts in splits.items():
        if counts["likes"] in (0, counts["rows"]):
            which = "at or below" if counts["likes"] == 0 else "above"
            raise DataError(
                f"{shown}: split {name} has one class only: all of its {counts['rows']:,} ratings are "
                f"{which} positive_above = {positive_above:g}; likes and dislikes are needed"
            )


def _few_warm(splits: dict[str, Any], entry: str, min_interactions: int, rule: SplitRule) -> list[str]:
    """A warning where few rows of valid or test are warm, with the way out in the data set's entry."""
    few = [
        f"{splits[name]['warm']:,} of {splits[name]['rows']:,} rows of {name}"
        for name in ("valid", "test")
        if splits[name]["warm"] < _WARM * splits[name]["rows"]
    ]
    if not few:
        return []
    remedy = (
        f"a `min_interactions` above {min_interactions} in `{entry}` keeps only users and items with as many "
        "ratings"
        if rule.leak
        else f"`split: {{rule: leave_one_out}}` in `{entry}` leaves train all but each user's last two "
        "ratings, at the cost of a leak that prep then names; where each user rates everything in one "
        "sitting, no split by time helps"
    )
    return [
        f"only {' and '.join(few)} are warm (user and item both occur in train); of the others collaborative "
        f"encoders know too little to rank them: {remedy}"
    ]


def _write(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Write all tables beside their places first, so that they take them together."""
    from thinkrec.data.database import copy_out

    queries = {
        layout.interactions: f"SELECT {_MOMENTS} FROM interactions",
        layout.items: "FROM items ORDER BY item_id",
        layout.users: "SELECT user_id, raw_id FROM user_ids ORDER BY user_id",
        layout.truth: "FROM truth ORDER BY user_id, position",
        layout.graph: "FROM graph ORDER BY item_id, relation, weight DESC, value, other_id",
        layout.quarantine: "FROM quarantine ORDER BY file, line, reason",
    }
    with ExitStack() as stack:
        for path, query in queries.items():
            copy_out(connection, query, stack.enter_context(whole(path)))

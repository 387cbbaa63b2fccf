"""Preparation of raw files: interactions, items, users, splits, graph and quarantine."""

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
RANDOM_SPLIT = "split: {rule: random}"
"""Lines of a data set's entry that a message names where all times are the same."""
_MIN_WARM_SHARE = 0.1
"""Warn below this share of warm rows."""
_AS_TIMESTAMP = "* REPLACE (make_timestamp_ns(timestamp) AS timestamp)"
_RELATIONS = "SELECT relation, count(*) AS n FROM graph GROUP BY relation ORDER BY relation"


def prepare(layout: Layout, source: Source, prep: Prep) -> dict[str, Any]:
    """Read a source's raw files and write the tables of all later stages.

    Writes interactions, items, users, quarantine, truth (empty if the source has none), and the graph: at
    most 20 attributes per item, and at most 10 items liked by 2 or more of the same users, counted over each
    user's latest 10 likes in train. Tables are written atomically and reproducibly, byte for byte. Memory is
    bounded by `prep.max_memory`.

    Args:
        layout: paths of the tables.
        source: the raw source; a relative raw folder is relative to the project's root.
        prep: limits on memory and on unusable rows.

    Returns:
        Per raw file the rows given, read and quarantined by reason; ratings left out by each rule of the
        data set; per split its rows, users, items, likes, warm rows and days; total users and items;
        triples of the graph by relation; warnings; the source's settings.

    Raises:
        MissingInputError: a raw file is missing.
        DataError: raw files are unusable, a split is empty or has one class only, or a split by time has one
            time alone.
        ConfigError: a file's format is unknown, or its remote folder can't be opened.
        StorageError: the disk is full or not writable.
    """
    from thinkrec.data.database import connect, rows, run_sql
    from thinkrec.data.graph import make_graph
    from thinkrec.data.progress import progress
    from thinkrec.data.quarantine import Opened, collect, count_rows, findings, refuse_bad_files
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
        folder, display = _folder(layout, source, reader, work)
        names = check_files(reader, folder, display, _command(source))
        raw += [folder / name for name in names.values()]
        files = Opened(reader, names, open_files(connection, names, folder, work), display)
        rule = _split(connection, reader, source, prep, step)
        accounts, left_out = count_rows(connection, files)
        refuse_bad_files(connection, files, accounts, prep.max_bad_rows)
        facts = {"files": accounts, "left_out": left_out, **_facts(connection)}
        _check_splits(connection, rule, display, reader.positive_above, facts)
        step("reading the items' texts")
        run_sql(connection, "items")
        step("linking the items")
        make_graph(connection)
        facts["graph"] = {row["relation"]: row["n"] for row in rows(connection, _RELATIONS)}
        step("")  # reading files in Python has its own bar
        warnings = [*([rule.leak] if rule.leak else []), *_one_moment(connection)]
        warnings += findings(connection, files, accounts)
        warnings += _warm_warning(
            facts["splits"], f"datasets.{layout.dataset}", source.min_interactions, rule
        )
        collect(connection, files, accounts)
        step("writing")
        _write(connection, layout)
    for warning in warnings:
        log.warning("%s: %s", layout.dataset, warning)
    settings = source.model_dump(mode="json", exclude={"raw", "watch"})
    return {**facts, "warnings": warnings, "settings": settings}


def _folder(layout: Layout, source: Source, reader: Reader, work: Path) -> tuple[Path, str]:
    """Return the raw folder and its name in messages; remote files are copied to the work area."""
    if "://" not in source.raw:
        folder = layout.root / source.raw
        return folder, str(folder)
    from thinkrec.data.remote import fetch_files
    from thinkrec.data.remote.stores import redacted

    names = [name for raw in reader.files for name in raw.names]
    return fetch_files(source.raw, dict.fromkeys(names, False), work / "raw"), redacted(source.raw)


def _command(source: Source) -> str | None:
    """Return the command that creates the raw folder, if there is one."""
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
    """Turn the opened raw files into split interactions with dense ids."""
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
    display: str,
    positive_above: float,
    facts: dict[str, Any],
) -> None:
    """Raise DataError if a split is empty or has one class only, or splits by time have one time alone."""
    from thinkrec.data.database import rows

    splits = facts["splits"]
    if rule.leak is None and (alike := _one_moment(connection)):
        raise DataError(
            f"{display}: {alike[0]}; a split by time needs times that differ: name a column of such times, "
            f"or use `{RANDOM_SPLIT}`, which needs none"
        )
    for name, counts in splits.items():
        if not counts["rows"]:
            days = rows(connection, "FROM days")[0]
            left_out = "".join(f"; {n:,} left out: {why}" for why, n in facts["left_out"].items())
            raise DataError(
                f"{display}: split {name} is empty: {rule.explain[name]}, and the usable ratings run from "
                f"{days['first_day']} to {days['last_day']} (UTC){left_out}"
            )
    for name, counts in splits.items():
        if counts["likes"] in (0, counts["rows"]):
            which = "at or below" if counts["likes"] == 0 else "above"
            raise DataError(
                f"{display}: split {name} has one class only: all of its {counts['rows']:,} ratings are "
                f"{which} positive_above = {positive_above:g}; likes and dislikes are needed"
            )


def _one_moment(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Say so if all of several usable ratings have the same time."""
    from thinkrec.data.database import rows
    from thinkrec.data.moments import as_text

    query = "SELECT count(*) AS n, min(timestamp) AS first, max(timestamp) AS last FROM interactions"
    found = rows(connection, query)[0]
    if found["n"] < 2 or found["first"] < found["last"]:
        return []
    return [
        f"all {found['n']:,} usable ratings have the same time, {as_text(found['first'])} UTC, so their "
        "order is that of the file"
    ]


def _warm_warning(splits: dict[str, Any], entry: str, min_interactions: int, rule: SplitRule) -> list[str]:
    """Warn if few rows of valid or test are warm, and name a remedy."""
    shares = [
        f"{splits[name]['warm']:,} of {splits[name]['rows']:,} rows of {name}"
        for name in ("valid", "test")
        if splits[name]["warm"] < _MIN_WARM_SHARE * splits[name]["rows"]
    ]
    if not shares:
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
        f"only {' and '.join(shares)} are warm (user and item both occur in train); collaborative encoders "
        f"know too little of the others to rank them: {remedy}"
    ]


def _write(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Write all tables, then move them into place together."""
    from thinkrec.data.database import copy_out

    queries = {
        layout.interactions: f"SELECT {_AS_TIMESTAMP} FROM interactions",
        layout.items: "FROM items ORDER BY item_id",
        layout.users: "SELECT user_id, raw_id FROM user_ids ORDER BY user_id",
        layout.truth: "FROM truth ORDER BY user_id, position",
        layout.graph: "FROM graph ORDER BY item_id, relation, weight DESC, value, other_id",
        layout.quarantine: "FROM quarantine ORDER BY file, line, reason",
    }
    with ExitStack() as stack:
        for path, query in queries.items():
            copy_out(connection, query, stack.enter_context(whole(path)))

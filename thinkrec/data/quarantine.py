"""What becomes of dropped rows: all are counted by reason, the first of each reason kept as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from thinkrec.data.database import rows
from thinkrec.data.readers.base import RawFile
from thinkrec.errors import DataError

_SHOWN = 200
"""Characters of a dropped row that are kept."""


def account(
    connection: duckdb.DuckDBPyConnection, files: dict[RawFile, str]
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """What became of the rows of every raw file.

    Returns:
        Per file the rows given, read, and quarantined by reason (given = read + quarantined); and the ratings
        that were read but left out by a rule of the data set (window, activity, no metadata), by rule.
    """
    names = {raw.kind: name for raw, name in files.items()}
    given = {row["kind"]: row["n"] for row in rows(connection, "FROM given")}
    accounts = {
        name: {"given": given.get(kind, 0), "read": given.get(kind, 0), "quarantined": {}}
        for kind, name in names.items()
    }
    left_out = {}
    for row in rows(connection, "SELECT kind, reason, rule, n FROM dropped ORDER BY n DESC, reason"):
        if row["rule"]:
            left_out[row["reason"]] = row["n"]
        else:
            entry = accounts[names[row["kind"]]]
            entry["quarantined"][row["reason"]] = row["n"]
            entry["read"] -= row["n"]
    return accounts, left_out


def refuse_bad_files(
    connection: duckdb.DuckDBPyConnection,
    files: dict[RawFile, str],
    accounts: dict[str, dict[str, Any]],
    folder: Path,
    shown: str,
    most: float,
    usual: frozenset[str],
) -> None:
    """Stop when a file has no usable row, or more than the share `most` of its rows can't be used.

    Args:
        connection: the database.
        files: names of the raw files.
        accounts: what `account` says of them.
        folder: the raw folder.
        shown: how messages call it.
        most: prep.bad_rows.
        usual: reasons that do not count towards it.

    Raises:
        DataError: so it is; names the commonest reason and the first line that has it.
    """
    for raw, name in files.items():
        counts = accounts[name]
        reasons = {
            why: n for why, n in counts["quarantined"].items() if why not in usual or not counts["read"]
        }
        bad = sum(reasons.values())
        if not counts["given"] and raw.needed:
            raise DataError(f"{shown}/{name} has no rows")
        if not bad or (counts["read"] and bad <= most * counts["given"]):
            continue
        reason, worst = next(iter(reasons.items()))
        query = "SELECT lines[1] AS first FROM dropped WHERE kind = ? AND reason = ? AND NOT rule"
        first = rows(connection, query, [raw.kind, reason])[0]["first"]
        found = raw.format.texts(connection, folder / name, raw.view, [first], counts["given"])
        line, text = found[first]
        raise DataError(
            f"{shown}/{name}: {bad:,} of {counts['given']:,} rows can't be used "
            f"(prep.bad_rows allows a share of {most:g}), {worst:,} of them because: {reason}; "
            f"the first is line {line}: {text[:_SHOWN]!r}"
        )


def collect(
    connection: duckdb.DuckDBPyConnection,
    files: dict[RawFile, str],
    accounts: dict[str, dict[str, Any]],
    folder: Path,
) -> None:
    """Make the table `quarantine`: file, line, reason, text of the first dropped rows of each reason.

    Raises:
        DataError: a file turns out to be broken, or to have changed.
    """
    connection.execute("CREATE TABLE quarantine (file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)")
    for raw, name in files.items():
        query = "SELECT reason, unnest(lines) AS row FROM dropped WHERE kind = ? ORDER BY row"
        dropped = connection.execute(query, [raw.kind]).fetchall()
        numbers = [number for _, number in dropped]
        found = raw.format.texts(connection, folder / name, raw.view, numbers, accounts[name]["given"])
        columns: list[list[Any]] = [[], [], []]
        for reason, number in dropped:
            line, text = found[number]
            for column, value in zip(columns, (line, reason, text[:_SHOWN]), strict=True):
                column.append(value)
        connection.execute(
            "INSERT INTO quarantine "
            "SELECT ?, unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [name, *columns],
        )

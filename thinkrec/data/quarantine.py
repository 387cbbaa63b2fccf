"""Dropped rows: counted by reason; the first of each reason are kept in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from thinkrec.data.database import rows
from thinkrec.data.formats import Texts
from thinkrec.data.rawjson import NO_OBJECT
from thinkrec.data.rawlines import EXCERPT
from thinkrec.data.readers.base import RawFile, Reader
from thinkrec.errors import DataError

_LOST = "its item is in quarantine: "
"""Prefix of the item's own reason; see sql/inside.sql."""
_DEFAULT_ENCODING = "UTF-8"


class BadRowsError(DataError):
    """More rows of a file can't be used than `prep.max_bad_rows` allows."""

    def __init__(self, message: str, share: float, reason: str) -> None:
        """Keep the `share` of the file's rows that can't be used, and the most common `reason`."""
        super().__init__(message)
        self.share = share
        self.reason = reason


@dataclass(frozen=True)
class Opened:
    """A reader's raw files, opened in the database.

    Args:
        reader: the reader.
        names: file names in the raw folder.
        paths: files in which the formats look up rows.
        display: name of the raw folder in messages.
    """

    reader: Reader
    names: dict[RawFile, str]
    paths: dict[RawFile, Path]
    display: str

    def texts(
        self, connection: duckdb.DuckDBPyConnection, raw: RawFile, rows: list[int], total: int
    ) -> Texts:
        """Look up raw rows of a file; see `RawFormat.texts`."""
        return raw.format.texts(connection, self.paths[raw], raw.view, rows, total)

    def excerpt(
        self, connection: duckdb.DuckDBPyConnection, raw: RawFile, row: int, total: int
    ) -> tuple[int, str]:
        """Return the line and shortened text of one row."""
        line, text = self.texts(connection, raw, [row], total)[row]
        return line, text[:EXCERPT]


def count_rows(
    connection: duckdb.DuckDBPyConnection, files: Opened
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Count the rows of each raw file by outcome.

    Returns:
        Per file the rows given, read, and quarantined by reason (given = read + quarantined); and, by rule,
        the ratings left out by a rule of the data set (window, activity, no metadata).
    """
    names = {raw.kind: name for raw, name in files.names.items()}
    total = {row["kind"]: row["n"] for row in rows(connection, "FROM given")}
    accounts = {
        name: {"given": total.get(kind, 0), "read": total.get(kind, 0), "quarantined": {}}
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
    files: Opened,
    accounts: dict[str, dict[str, Any]],
    max_share: float,
) -> None:
    """Check that each file has usable rows, and at most a share `max_share` of unusable ones.

    Args:
        connection: the database.
        files: the raw files; the reader's `usual` reasons do not count.
        accounts: from `count_rows`.
        max_share: prep.max_bad_rows.

    Raises:
        DataError: a file has no rows.
        BadRowsError: too few can be used; names the most common reason, its first line, and a remedy if
            known.
    """
    for raw, name in files.names.items():
        counts = accounts[name]
        usual = files.reader.usual if counts["read"] else ()
        reasons = {why: n for why, n in counts["quarantined"].items() if why not in usual}
        bad = sum(reasons.values())
        if not counts["given"] and raw.needed:
            raise DataError(f"{files.display}/{name} has no rows")
        if not bad or (counts["read"] and bad <= max_share * counts["given"]):
            continue
        reason, worst = next(iter(reasons.items()))
        query = "SELECT lines[1] AS first FROM dropped WHERE kind = ? AND reason = ? AND NOT rule"
        first = rows(connection, query, [raw.kind, reason])[0]["first"]
        line, text = files.excerpt(connection, raw, first, counts["given"])
        raise BadRowsError(
            f"{files.display}/{name}: {bad:,} of {counts['given']:,} rows can't be used "
            f"(prep.max_bad_rows allows a share of {max_share:g}), {worst:,} of them because: "
            f"{_explained(connection, files, accounts, reason)}{_advice(files, reason, text)}; "
            f"the first is line {line}: {text!r}",
            bad / counts["given"],
            reason,
        )


def findings(
    connection: duckdb.DuckDBPyConnection, files: Opened, accounts: dict[str, dict[str, Any]]
) -> list[str]:
    """Collect warnings: ratings lost with their quarantined items, and suspicious item texts.

    Call it once `items_rows` is reduced to the kept items.
    """
    messages = []
    for raw, name in files.names.items():
        counts = accounts[name]
        for reason, count in counts["quarantined"].items():
            if reason.startswith(_LOST):
                messages.append(
                    f"{name}: {count:,} of {counts['given']:,} rows ({count / counts['given']:.1%}) are "
                    f"lost, each since {_explained(connection, files, accounts, reason)}"
                    f"{_advice(files, reason)}"
                )
        if raw.kind == "ratings":
            messages += _unknown(files, accounts, name)
        if raw.kind == "items":
            for what, condition in files.reader.doubts.items():
                query = f"SELECT count(*) AS n, min(line) AS first FROM items_rows WHERE {condition}"
                row = rows(connection, query)[0]
                if row["n"]:
                    line, text = files.excerpt(connection, raw, row["first"], counts["given"])
                    messages.append(
                        f"{name}: in {row['n']:,} rows {what}; the first is line {line}: {text!r}"
                    )
    return messages


def _unknown(files: Opened, accounts: dict[str, dict[str, Any]], name: str) -> list[str]:
    """Warn of ratings of unknown items if unusable item rows may be theirs."""
    lost = accounts[name]["quarantined"].get("unknown item", 0)
    for raw, items in files.names.items():
        faults = accounts[items]["quarantined"]
        bad = sum(count for reason, count in faults.items() if reason != "duplicate")
        if raw.kind == "items" and lost and bad:
            return [
                f"{name}: {lost:,} of {accounts[name]['given']:,} rows are of items that {items} does not "
                f"list; {bad:,} rows of {items} can't be used and may be theirs ({next(iter(faults))})"
            ]
    return []


def _explained(
    connection: duckdb.DuckDBPyConnection, files: Opened, accounts: dict[str, dict[str, Any]], reason: str
) -> str:
    """Add to a reason the line in the items file that caused it, if one did."""
    if not reason.startswith(_LOST):
        return reason
    cause = reason.removeprefix(_LOST)
    raw = next(raw for raw in files.names if raw.kind == "items")
    name = files.names[raw]
    query = "SELECT count(*) AS n, min(line) AS first FROM lost_items WHERE reason = ?"
    lost = rows(connection, query, [cause])[0]
    line, _ = files.excerpt(connection, raw, lost["first"], accounts[name]["given"])
    others = f", and {lost['n'] - 1:,} more" if lost["n"] > 1 else ""
    return f"its item is in quarantine ({name} line {line}: {cause}{others})"


def _advice(files: Opened, reason: str, text: str = "") -> str:
    if reason == NO_OBJECT and "\ufffd" in text:
        return ", and not UTF-8: save the file as UTF-8"
    if not files.reader.own or not reason.endswith(f"not {_DEFAULT_ENCODING}"):
        return ""
    return ": set the data set's `encoding` (latin-1, cp1252, ...)"


def collect(
    connection: duckdb.DuckDBPyConnection, files: Opened, accounts: dict[str, dict[str, Any]]
) -> None:
    """Create the table `quarantine`: file, line, reason and text of the first dropped rows of each reason.

    Raises:
        DataError: a file is broken or has changed.
    """
    connection.execute("CREATE TABLE quarantine (file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)")
    for raw, name in files.names.items():
        query = "SELECT reason, unnest(lines) AS row FROM dropped WHERE kind = ? ORDER BY row"
        dropped = connection.execute(query, [raw.kind]).fetchall()
        numbers = [number for _, number in dropped]
        texts = files.texts(connection, raw, numbers, accounts[name]["given"])
        columns: list[list[Any]] = [[], [], []]
        for reason, number in dropped:
            line, text = texts[number]
            for column, value in zip(columns, (line, reason, text[:EXCERPT]), strict=True):
                column.append(value)
        connection.execute(
            "INSERT INTO quarantine "
            "SELECT ?, unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [name, *columns],
        )

"""What becomes of rows that can't be used: counted all, kept up to a bound, too many of them an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from thinkrec.data.database import copy_out, rows
from thinkrec.errors import DataError

_WORST = """
SELECT reason, count(*) AS bad, arg_min(line, line) AS line, arg_min(text, line) AS text
FROM bad WHERE file = ? GROUP BY reason ORDER BY bad DESC, reason LIMIT 1
"""


def account(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Rows given, read and quarantined (by reason) of every raw file; given = read + quarantined."""
    query = "SELECT file, reason, count(*) AS n FROM checked GROUP BY ALL ORDER BY file, n DESC, reason"
    files: dict[str, dict[str, Any]] = {}
    for row in rows(connection, query):
        entry = files.setdefault(row["file"], {"given": 0, "read": 0, "quarantined": {}})
        entry["given"] += row["n"]
        if row["reason"] is None:
            entry["read"] = row["n"]
        else:
            entry["quarantined"][row["reason"]] = row["n"]
    return files


def refuse_bad_files(
    connection: duckdb.DuckDBPyConnection,
    files: dict[str, dict[str, Any]],
    folder: Path,
    needed: list[str],
    most: float,
) -> None:
    """Stop when a file has no usable row, or more than the share `most` of its rows can't be used.

    Args:
        connection: a database with the table `bad`.
        files: what `account` says.
        folder: the raw folder, for the message.
        needed: names of the files that may not be without rows.
        most: prep.bad_rows.

    Raises:
        DataError: so it is; names the commonest reason and the first line that has it.
    """
    for name in needed:
        if name not in files:
            raise DataError(f"{folder / name} has no rows")
    for name, counts in files.items():
        bad = counts["given"] - counts["read"]
        if counts["read"] and bad <= most * counts["given"]:
            continue
        worst = rows(connection, _WORST, [name])[0]
        raise DataError(
            f"{folder / name}: {bad:,} of {counts['given']:,} rows can't be used "
            f"(prep.bad_rows allows a share of {most:g}), "
            f"{worst['bad']:,} of them because: {worst['reason']}; "
            f"the first is line {worst['line']}: {worst['text']!r}"
        )


def keep_bad_rows(connection: duckdb.DuckDBPyConnection, path: Path, most: int) -> None:
    """Write the first `most` unusable rows, by file and line: file, line, reason, text (200 characters)."""
    query = f"SELECT file, line, reason, text FROM bad ORDER BY file, line LIMIT {int(most)}"
    copy_out(connection, query, path)

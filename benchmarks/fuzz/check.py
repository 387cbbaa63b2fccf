"""Assertions about `prep` for any raw files: every row is accounted for, or the error message is correct."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from fuzz.cases import Case
from fuzz.files import RawText
from fuzz.oracle import EXCERPT, BrokenError, Rows, csv_rows, fields_of, rows_of, unpacked
from thinkrec.config.sections import Prep
from thinkrec.config.sources import Source
from thinkrec.data.prepare import prepare
from thinkrec.errors import DataError, ThinkrecError
from thinkrec.layout import Layout

_SOURCE: TypeAdapter[Any] = TypeAdapter(Source)
_NAMES = ("interactions", "items", "users", "truth", "graph", "quarantine")
_DROPS = {
    "unknown item", "unknown user", "duplicate", "in a month between", "outside the window", "item with",
    "user with", "no JSON object", "its item is in quarantine",
}  # fmt: skip
"""Beginnings of reasons for which a clean rating may be dropped because of other rows."""


def check(case: Case, root: Path) -> str:
    """Run the stage on an input.

    Args:
        case: the input.
        root: a folder for it; it is emptied first.

    Returns:
        The outcome: `tables`, or the class and subject of the error.

    Raises:
        AssertionError: a row is unaccounted for, a message is wrong, or a file was left behind.
        Exception: any error of the stage that is not a ThinkrecError.
    """
    shutil.rmtree(root, ignore_errors=True)
    (root / "raw").mkdir(parents=True)
    for file in case.files:
        (root / "raw" / file.name).write_bytes(file.content)
    layout = Layout("d", root)
    before = set(root.rglob("*"))
    try:
        source = _SOURCE.validate_python(case.source)
    except ValidationError as error:
        return _refused_settings(error, case.source)
    try:
        facts = prepare(layout, source, Prep.model_validate(case.prep))
    except ThinkrecError as error:
        ended = _refusal(error, case, root)
        after = {path for path in root.rglob("*") if path.is_file()} - before
        assert not after, f"left behind after a refusal: {after}"
        return ended
    tables = {getattr(layout, name) for name in _NAMES}
    after = {path for path in root.rglob("*") if path.is_file()} - before
    assert after == tables, f"left behind: {after - tables}"
    assert not layout.work("prep").exists(), "the work folder was left behind"
    _account(case, facts, layout)
    return "tables"


def _refused_settings(error: ValidationError, source: dict[str, Any]) -> str:
    """Check that settings were rejected only for columns that are equal or differ by case."""
    if "name the same column" in str(error):
        return "settings"
    assert "differ only by case" in str(error), str(error)
    files = (
        ["user", "item", "rating", "label", "timestamp"],
        ["item_id", "title", "description", "categories"],
    )
    columns = [{source[key] for key in keys if source.get(key)} for keys in files]
    assert any(len({name.lower() for name in names}) < len(names) for names in columns), str(error)
    return "settings"


def _rows(file: RawText) -> Rows | None:
    """Parse a file's rows; None if it can't be opened."""
    try:
        return rows_of(file)
    except BrokenError:
        return None


def _account(case: Case, facts: dict[str, Any], layout: Layout) -> None:
    """Check that every row was read or is in quarantine, with its line and text."""
    dropped = pq.read_table(layout.quarantine).to_pylist()
    cap = case.prep["max_quarantine_rows"]
    assert set(facts["files"]) == {file.name for file in case.files} == set(facts["files"])
    for file in case.files:
        counts, mine = facts["files"][file.name], _rows(file)
        assert mine is not None, f"{file.name} can't be read whole, but was taken"
        assert counts["given"] == len(mine), (
            f"{file.name}: given {counts['given']}, but it has {len(mine)} rows"
        )
        assert counts["given"] == counts["read"] + sum(counts["quarantined"].values()), f"{counts}"
        reasons = Counter(counts["quarantined"])
        if file.name == case.ratings:
            reasons.update(facts["left_out"])
        own = [row for row in dropped if row["file"] == file.name]
        expected = {reason: min(count, cap) for reason, count in reasons.items()}
        assert Counter(row["reason"] for row in own) == expected, f"{file.name}: quarantine is not {expected}"
        _compare_texts(file, mine, own)
    _compare_ratings(case, facts, layout, dropped)


def _compare_texts(file: RawText, mine: Rows, own: list[dict[str, Any]]) -> None:
    texts = dict(mine)
    assert len({row["line"] for row in own}) == len(own), f"{file.name}: a line is in quarantine twice"
    for row in own:
        assert row["line"] in texts, f"{file.name}: no row begins at line {row['line']}"
        if file.layout in ("parquet", "array"):
            assert row["text"].startswith("{"), f"{file.name}: {row['text']!r} is no row as JSON"
        else:
            mark = texts[row["line"]][:EXCERPT]
            assert row["text"] == mark, f"{file.name}: line {row['line']} is not {row['text']!r} but {mark!r}"


def _compare_ratings(
    case: Case, facts: dict[str, Any], layout: Layout, dropped: list[dict[str, Any]]
) -> None:
    """Check the number of interactions, and that all clean ratings are among them."""
    read, out = facts["files"][case.ratings]["read"], sum(facts["left_out"].values())
    users, items = (pq.read_table(path).to_pylist() for path in (layout.users, layout.items))
    table = pq.read_table(layout.interactions)
    moments = table["timestamp"].cast(pa.int64()).to_pylist()
    interactions = table.drop_columns("timestamp").to_pylist()
    assert len(interactions) == read - out, f"{len(interactions)} interactions of {read} read, {out} left out"
    assert sum(split["rows"] for split in facts["splits"].values()) == len(interactions)
    if case.source.get("label"):
        assert all(row["rating"] == row["label"] for row in interactions), "a label is neither 0 nor 1"
        assert "rating is not a number" not in facts["files"][case.ratings]["quarantined"]
    user_of = {row["user_id"]: row["raw_id"] for row in users}
    item_of = {row["item_id"]: row["raw_id"] for row in items}
    there = {
        (user_of[row["user_id"]], item_of[row["item_id"]], moment)
        for row, moment in zip(interactions, moments, strict=True)
    }
    file = next(file for file in case.files if file.name == case.ratings)
    lines = [text for _, text in _rows(file) or []]
    excused = {row["text"] for row in dropped if row["reason"].startswith(tuple(_DROPS))}
    if case.prep["max_quarantine_rows"] > len(lines):
        for text, rating in zip(file.core, case.core, strict=False):
            gone = text in lines and text not in excused and rating not in there
            assert not gone, f"the clean rating {text!r} was lost"


_REFUSALS = (
    "split (train|valid|test) is empty", "has one class only", "is empty", "has no rows",
    "rows can't be used", "UTF-16 or UTF-32", "is in UTF-8, but", "has no column", "gzip stream",
    "is broken inside", "has a line of more", "Amazon's layout of", "DuckDB cannot read",
    "begins as a JSON array",
)  # fmt: skip


def _refusal(error: ThinkrecError, case: Case, root: Path) -> str:
    """Classify an error; its message must be one paragraph, and correct if that can be checked."""
    message = str(error)
    assert isinstance(error, DataError), f"{type(error).__name__}: {message}"
    assert message and "\n" not in message and len(message) < 1000, f"no paragraph: {message!r}"
    kind = next((kind for kind in _REFUSALS if re.search(kind, message)), None)
    assert kind, f"unknown refusal: {message}"
    file = next((file for file in case.files if f"{root}/raw/{file.name}" in message), None)
    if "split" in kind or "one class" in kind:
        return "split"
    assert file, f"names no file: {message}"
    mine = _rows(file)
    truth = {
        "is empty": lambda: _is_blank(file),
        "has no rows": lambda: not mine or len(unpacked(file.content)) == 1,  # DuckDB passes one byte over
        "rows can't be used": lambda: _many(message, file, mine or [], case.prep["max_bad_rows"]),
        "gzip stream": lambda: mine is None or file.content.endswith(b"\0" * 9),  # DuckDB takes no padding
        "is broken inside": lambda: mine is None,
        "has no column": lambda: _lacks(message, file),
        "UTF-16 or UTF-32": lambda: _is_wide(file),
        "is in UTF-8, but": lambda: any(map(_is_utf8, file.content.splitlines())),
    }.get(kind)
    assert truth is None or truth(), f"not true: {message}"
    if kind == "DuckDB cannot read":
        assert file.layout == "parquet", message
    if kind == "begins as a JSON array":
        assert unpacked(file.content).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["), message
    return kind.replace("|", "/")


def _is_blank(file: RawText) -> bool:
    """Test whether a file has only white space and a byte order mark."""
    content = unpacked(file.content).removeprefix(b"\xef\xbb\xbf")
    return not content.decode(file.written.encoding, errors="replace").strip("\ufeff \t\r\n")


def _many(message: str, file: RawText, mine: Rows, share: float) -> bool:
    """Test whether a message about too many bad rows has the right counts, line and text."""
    match = re.search(r": ([\d,]+) of ([\d,]+) rows can't .* the first is line (\d+): (.*)$", message)
    assert match, message
    bad, given = (int(match[n].replace(",", "")) for n in (1, 2))
    text = dict(mine).get(int(match[3]))
    fits = file.layout in ("parquet", "array") or (text is not None and match[4] == repr(text[:EXCERPT]))
    return given == len(mine) and fits and (bad == given or bad > share * given)


def _is_wide(file: RawText) -> bool:
    head = unpacked(file.content)[:4096]
    return head[:2] in (b"\xff\xfe", b"\xfe\xff") or head.count(0) > len(head) // 5


def _is_utf8(line: bytes) -> bool:
    return not line.isascii() and "\ufffd" not in line.decode("utf-8", errors="replace")


def _lacks(message: str, file: RawText) -> bool:
    """Test whether a CSV file's header lacks the column that a message names."""
    column = re.search(r"has no column `(.*)`: its first line", message)
    if file.layout != "csv":
        return True
    rows, mark = csv_rows(unpacked(file.content), file.written), file.written.separator
    names = rows[0][1].split(mark) if rows else []
    if not file.written.header:
        widths = [width for _, text in rows if (width := fields_of(text, file.written))]
        return column is not None and (not widths or int(column[1]) > widths[0])
    return column is not None and column[1] not in names

"""`prep`'s peak memory stays within `prep.max_memory` on files that are made to take more."""

from __future__ import annotations

from pathlib import Path

import prep_memory
import pytest
from prep_memory import CASES, GOAL, MEGABYTE, measured

MEMORY, BOUND = "600MB", 600 * MEGABYTE
LONG = "has a line of more than 16,777,216 bytes; a line holds one record"
LONG_RECORD = "line 602, has more than 16,777,216 bytes; a line holds one record"


@pytest.mark.parametrize(
    ("case", "megabytes", "said"),
    [
        ("blanks, gzip", 400, f"r.json.gz {LONG}"),
        ("blanks, plain", 400, f"r.jsonl {LONG}"),
        ("JSON text, gzip", 100, f"r.json.gz {LONG}"),
        ("array, text", 100, "r.json.gz has an element of more than 16,777,216 bytes; an element holds one"),
        ("CSV quotes", 100, f"r.csv, {LONG_RECORD}"),
        ("CSV field, gzip", 100, f"r.csv.gz, {LONG_RECORD}"),
        ("CSV quotes, 15 MB a line", 60, "1,203 rows"),
        ("CSV header, 15 MB", 15, "more than 10,000 columns"),
        ("MovieLens", 100, "ratings.dat has a line of more than 1,900,000 bytes; a line holds one record"),
        ("bad JSON of 15 MB a line", 300, "1,219 rows"),
        (
            "items, Parquet, one group, titles of 30 MB",
            3000,
            "i.parquet has a value of more than 16,777,216 bytes in column `title`; a value holds one text",
        ),
        ("items, Parquet, one group, titles of 10 MB, no dictionary", 1000, "600MB is too little for this"),
        (
            "items, Parquet, one group, titles of 10 MB, one page",
            1000,
            "has pages of 1,000,000,904 bytes in a row",
        ),
    ],
)
def test_files_that_are_made_to_take_more(tmp_path: Path, case: str, megabytes: int, said: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    source = CASES[case](raw, megabytes * MEGABYTE)
    found, _, peak = measured({"raw": str(raw), **source}, MEMORY, tmp_path)
    assert peak <= GOAL * BOUND
    assert said in found, found


def test_too_little_memory_names_the_parameter(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    source = prep_memory.CASES["items, texts of 10 MB"](raw, 300 * MEGABYTE)
    found, _, peak = measured({"raw": str(raw), **source}, MEMORY, tmp_path)
    assert peak <= GOAL * BOUND
    assert found == (
        "ConfigError: 600MB is too little for this data set: set prep.max_memory higher in params.yaml"
    )

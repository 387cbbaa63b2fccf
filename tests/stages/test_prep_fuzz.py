"""`prep` accounts for every row of any files it is given: some inputs of the fuzzer in benchmarks/fuzz."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fuzz.cases import READERS, Case
from fuzz.check import check
from fuzz.drive import drive

INPUTS = 12
"""Of each reader, always the same ones."""


@pytest.mark.parametrize("reader", READERS)
def test_every_row_is_read_or_in_quarantine(tmp_path: Path, reader: str) -> None:
    ended: Counter[str] = Counter()

    def act(case: Case) -> None:
        ended[check(case, tmp_path / "project")] += 1

    drive(reader, INPUTS, 1, set(), act)
    assert ended.total() == INPUTS
    assert ended["tables"] >= INPUTS // 3, f"hardly any input is taken: {ended}"

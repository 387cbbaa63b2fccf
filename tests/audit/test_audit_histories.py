"""Histories against a planted future: in the table, and in the code that slices it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tamper import claim

from thinkrec.audit.histories import check_histories, compare, ties
from thinkrec.config.sections import Prompt
from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions

PROMPT = Prompt(history_length=3)


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Put another slice in the place of `Interactions.histories`."""

    def put(how: Callable[..., Any]) -> None:
        slices = Interactions.histories
        monkeypatch.setattr(
            Interactions, "histories", lambda self, *rest: how(self, slices(self, *rest), *rest)
        )

    return put


def test_sound_histories_pass(data: Interactions) -> None:
    checks = check_histories(data, PROMPT, "share")
    assert [check.verdict for check in checks] == ["passed"] * 4
    assert checks[0].said == "15 rows; 0 have a row of their own moment in the history, by position before"
    assert checks[1].said == "9 train rows"


def test_a_future_row_moved_before(data: Interactions) -> None:
    moved = replace(data, timestamp=np.where(np.arange(15) == 6, 10_000 * SECOND, data.timestamp))
    check = claim(check_histories(moved, PROMPT, "share"), "rolling")
    assert check.verdict == "FAILED"
    assert check.said == (
        "3 rows have a row in their history that is not before them, the first at user 2, position 2"
    )


def test_a_slice_that_holds_the_row_itself(data: Interactions, leaky: Callable[..., None]) -> None:
    leaky(lambda self, index, rows, *rest: np.concatenate([index[:, 1:], rows[:, None]], axis=1))
    check = claim(check_histories(data, PROMPT, "share"), "rolling")
    assert check.verdict == "FAILED"
    assert check.said.startswith("15 rows have a row in their history that is not before them")


def test_a_slice_that_reaches_into_another_user(data: Interactions, leaky: Callable[..., None]) -> None:
    leaky(lambda self, index, rows, *rest: np.maximum(rows[:, None] - 1, 0))
    check = claim(check_histories(data, PROMPT, "share"), "rolling")
    assert "2 rows have a row of another user in their history, the first at user 2, position 0" in check.said


def test_a_slice_that_leaves_rows_out(data: Interactions, leaky: Callable[..., None]) -> None:
    leaky(lambda self, index, *rest: np.where(index % 5 == 1, -1, index))
    check = claim(check_histories(data, PROMPT, "share"), "rolling")
    assert check.said == "9 rows lack an earlier row in their history, the first at user 1, position 2"


def test_frozen_histories_that_roll(data: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = Interactions.histories
    monkeypatch.setattr(
        Interactions, "histories", lambda self, rows, length, mode: slices(self, rows, length)
    )
    check = claim(check_histories(data, PROMPT, "share"), "train: ")
    assert check.verdict == "FAILED"
    assert check.said == "3 train histories hold a valid or test row, the first at user 1, position 4"


def test_a_frozen_history_that_reads_its_own_split(
    data: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compare(data, 3, "frozen")["held_out"].any()  # a test row's history holds valid's
    late = replace(data, split=np.where(data.split > 0, 2, 0).astype(np.int8))
    assert claim(check_histories(late, PROMPT, "share"), "frozen: ").verdict == "passed"
    slices = Interactions.histories
    monkeypatch.setattr(
        Interactions, "histories", lambda self, rows, length, mode: slices(self, rows, length)
    )
    check = claim(check_histories(late, PROMPT, "share"), "frozen: ")
    assert check.verdict == "FAILED"
    assert check.said.startswith(
        "3 frozen histories hold a row of the same split or a later one, the first at"
    )


def test_train_rows_that_read_held_out_ones(data: Interactions) -> None:
    mixed = replace(data, split=np.where(np.arange(15) == 4, 0, data.split).astype(np.int8))
    check = claim(check_histories(mixed, PROMPT, "share"), "train rows'")
    assert check.verdict == "FAILED"
    assert check.said == "1 train rows read a valid or test row, the first at user 1, position 4"
    checks = check_histories(mixed, PROMPT, "random")
    assert claim(checks, "train rows'").said == "the rule `random` mixes times: 1 do"
    assert claim(checks, "train: ").verdict == "not applicable"
    assert claim(checks, "train: ").said == (
        "the rule `random` puts train rows between others: there is no train history"
    )


def test_ties_by_hand(data: Interactions) -> None:
    when = data.timestamp.copy()
    when[[3, 4]] = 400  # user 1's valid and test row
    when[[10, 11]] = 50  # two of user 3's train rows
    stated = ties(replace(data, timestamp=when), 3)
    assert [stated[split]["tied"] for split in ("train", "valid", "test")] == [2, 1, 1]
    assert [stated[split]["tied_history"] for split in ("train", "valid", "test")] == [1, 0, 1]
    assert [stated[split]["held_out_history"] for split in ("train", "valid", "test")] == [0, 0, 3]
    assert stated["test"]["tied_share"] == round(1 / 3, 6) and stated["test"]["held_out_history_share"] == 1


def test_rows_are_looked_at_in_parts(data: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare(data, 3, "rolling")
    monkeypatch.setattr("thinkrec.audit.histories._BATCH", 4)
    for name, mask in compare(data, 3, "rolling").items():
        assert np.array_equal(mask, whole[name])

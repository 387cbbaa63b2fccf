"""Checks of the table of interactions, each with a planted fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tamper import claim

from thinkrec.audit.interactions import check_interactions
from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions


def with_value(data: Interactions, name: str, row: int, value: int) -> Interactions:
    column = getattr(data, name).copy()
    column[row] = value
    return replace(data, **{name: column})


def test_a_sound_table_passes(data: Interactions) -> None:
    checks = check_interactions(data, "share")
    assert [check.verdict for check in checks] == ["passed"] * 4
    splits = claim(checks, "splits by time (share)")
    assert splits.said == (
        "train 1970-01-01 00:00:00 to 1970-01-01 00:03:40, valid 1970-01-01 00:05:00 to 1970-01-01 00:05:20, "
        "test 1970-01-01 00:06:40 to 1970-01-01 00:07:00 (UTC); 0 rows share the moment of a border with the "
        "next split"
    )
    borders = {"train": [0, 220], "valid": [300, 320], "test": [400, 420]}
    assert splits.figures["borders"] == {
        name: [moment * SECOND for moment in moments] for name, moments in borders.items()
    }


def test_a_future_row_moved_before(data: Interactions) -> None:
    check = claim(
        check_interactions(with_value(data, "timestamp", 6, 10_000 * SECOND), "share"), "in order of time"
    )
    assert check.verdict == "FAILED"
    assert check.said == (
        "1 rows are earlier than the one before them, the first at user 2, position 2; run `thinkrec prep` "
        "again"
    )


def test_positions_and_users_out_of_order(data: Interactions) -> None:
    check = claim(check_interactions(with_value(data, "position", 7, 1), "share"), "in order of time")
    assert check.verdict == "FAILED"
    assert check.said.startswith(
        "1 positions are not those of the time line, the first at user 2, position 1"
    )
    flipped = replace(data, user_id=data.user_id[::-1].copy())
    check = claim(check_interactions(flipped, "share"), "in order of time")
    assert check.said.startswith("2 rows come before a user of lower id, the first at user 2, position 0")


def test_train_after_valid_and_valid_after_test(data: Interactions) -> None:
    late = with_value(data, "timestamp", 2, 301 * SECOND)
    check = claim(check_interactions(late, "share"), "splits by time")
    assert check.verdict == "FAILED" and check.figures["train_after_valid"] == 1
    assert check.said.startswith(
        "1 train rows are later than valid's first, the first at user 1, position 2;"
    )
    later = with_value(data, "timestamp", 13, 401 * SECOND)
    check = claim(check_interactions(later, "months"), "splits by time")
    assert check.said.startswith("1 valid rows are later than test's first, the first at user 3, position 3;")


def test_ties_at_a_border_are_counted(data: Interactions) -> None:
    check = claim(
        check_interactions(with_value(data, "timestamp", 12, 300 * SECOND), "date"), "splits by time"
    )
    assert check.verdict == "passed" and check.figures["same_moment_at_borders"] == 1


def test_rules_that_mix_times_are_named(data: Interactions) -> None:
    late = with_value(data, "timestamp", 2, 301 * SECOND)
    check = claim(check_interactions(late, "leave_one_out"), "each user's time")
    assert check.verdict == "passed"
    assert check.said == (
        "each user's own rows are in order; between users this rule mixes times: 1 train rows are later than "
        "valid's first"
    )
    check = claim(check_interactions(with_value(data, "split", 4, 0), "leave_one_out"), "each user's time")
    assert check.verdict == "FAILED"
    assert check.said.startswith("1 rows follow a row of a later split, the first at user 1, position 4;")
    check = claim(check_interactions(late, "random"), "splits by time")
    assert check.verdict == "not applicable"
    assert check.said == "the rule `random` mixes times: 1 train rows are later than valid's first"


def test_warm_rows_called_cold(data: Interactions) -> None:
    check = claim(check_interactions(with_value(data, "not_cold", 3, 0), "share"), "not_cold")
    assert check.verdict == "FAILED"
    assert check.said.startswith("1 rows are called warm or cold wrongly, the first at user 1, position 3;")


def test_a_row_that_finds_itself_in_its_history(data: Interactions) -> None:
    again = with_value(data, "item_id", 4, 4)
    check = claim(check_interactions(again, "share"), "finds itself")
    assert check.verdict == "passed" and check.figures == {"repeated": 1, "repeated_all": 1, "itself": 0}
    check = claim(
        check_interactions(with_value(again, "timestamp", 4, 300 * SECOND), "share"), "finds itself"
    )
    assert check.verdict == "FAILED" and check.figures["itself"] == 1
    assert check.said == (
        "1 rows repeat user, item and moment of a row before them, the first at user 1, position 4; set the "
        "data set's `repeated: drop` and run `thinkrec prep` again"
    )


def test_repeats_within_train_are_no_fault(data: Interactions) -> None:
    again = replace(data, item_id=np.where(np.arange(15) == 1, 1, data.item_id))
    check = claim(check_interactions(again, "share"), "finds itself")
    assert check.verdict == "passed" and check.figures == {"repeated": 0, "repeated_all": 1, "itself": 0}

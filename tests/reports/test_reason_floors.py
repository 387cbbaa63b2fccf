"""Floors of reasons, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.llm.examples import Rationales
from thinkrec.reports.reason_floors import commonest, nearest


def interactions() -> Interactions:
    """Users 1 to 3: items and labels by position, the last row of each is the one to explain."""
    times = [
        ((1, 1), (2, 0), (5, 1)),
        ((1, 1), (2, 0), (6, 1)),
        ((1, 0), (3, 1), (5, 0)),
        ((1, 1), (2, 0), (5, 1)),
    ]
    rows = [
        (user, item, label, k) for user, time in enumerate(times, 1) for k, (item, label) in enumerate(time)
    ]
    user, item, label, position = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Interactions(
        user_id=user, item_id=item, label=label, timestamp=position, position=position,
        split=np.where(user == 4, 2, 0).astype(np.int8), not_cold=np.ones(len(user), dtype=bool),
    )  # fmt: skip


def test_commonest() -> None:
    assert commonest(["a b", "c", "a b"]) == "a b"
    # Each once: the one that shares most words with all.
    assert commonest(["x y", "they like films", "they like old films", "they like"]) in (
        "they like films", "they like old films", "they like",
    )  # fmt: skip
    assert commonest(["", ""]) == ""


def test_nearest_takes_the_same_item_then_the_history_and_fits_the_verdict() -> None:
    data = interactions()
    known = Rationales(np.array([2, 5, 8]), ["Yes. One.", "Yes. Two.", "No. Three."])
    row = np.array([11])

    def found(liked: bool, kept: list[int]) -> list[str]:
        some = Rationales(known.rows[kept], [known.texts[k] for k in kept])
        return nearest(data, some, row, np.array([liked]), 10, "frozen")

    assert found(True, [0, 1, 2]) == ["Yes. One."]  # the same item, and the same history
    assert found(False, [0, 1, 2]) == ["No. Three."]  # the only one that says No
    assert found(True, [1, 2]) == ["Yes. Two."]  # another item: no rationale of item 5 says Yes
    assert found(False, [0, 1]) == ["No. One."]  # none says No: the verdict alone is turned


def test_nearest_reads_histories_of_the_protocol() -> None:
    """User 4's second test row: a rolling history also holds the first one."""
    one = interactions()
    label = np.where(np.arange(12) == 1, 1, one.label)  # so that both rationales have the verdict wanted
    split = np.where((one.user_id == 4) & (one.position > 0), 2, 0).astype(np.int8)
    data = replace(one, label=label, split=split)
    known = Rationales(np.array([1, 5]), ["Yes. Liked 1.", "Yes. Liked 1, disliked 2."])
    for protocol, want in (("frozen", "Yes. Liked 1."), ("rolling", "Yes. Liked 1, disliked 2.")):
        assert nearest(data, known, np.array([11]), np.array([True]), 10, protocol) == [want]

"""Lines that are whole or not there, whatever a kill or a hand left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from thinkrec.errors import StorageError
from thinkrec.journal import Journal

LINES = ["é \u2028 \x85 \r é", "", "two"]


def kept(journal: Journal) -> list[str]:
    return journal.read(bytes.decode)


def test_lines_come_back_as_they_were_added(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work" / "a.jsonl")
    assert kept(journal) == []
    journal.add(LINES[:1])
    journal.add(LINES[1:])
    assert kept(journal) == journal.read_start(bytes.decode) == LINES


def test_a_line_that_was_cut_off_is_removed_and_the_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    Journal(path).add(LINES)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        found = kept(Journal(path))
        assert found == LINES[: whole[:end].count(b"\n")]
        Journal(path).add(["more"])
        assert kept(Journal(path)) == [*found, "more"]


def test_a_line_in_which_any_bit_flipped_is_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    Journal(path).add("abc")
    whole = path.read_bytes()
    first, last = whole.index(b"\n") + 1, whole.rindex(b"\n", 0, -1)
    for place in range(first, last):
        for bit in range(8):
            damaged = bytes([whole[place] ^ 1 << bit])
            path.write_bytes(whole[:place] + damaged + whole[place + 1 :])
            caplog.clear()
            assert kept(Journal(path)) == ["a", "c"]
            count, lines = (2, 4) if damaged == b"\n" else (1, 3)
            assert caplog.messages == [
                f"{path}: {count} of {lines} lines are damaged (the first is line 2); what they held is done "
                "again"
            ]


def test_whatever_else_was_put_in_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    Journal(path).add(["[1]", "[2]"])
    for line in (b"garbage", b"[]", b"\x00\xff", b"[3]", b" ", b"", b"[" * 100_000):
        whole = path.read_bytes()
        path.write_bytes(whole + line + b"\n")
        assert Journal(path).read(json.loads) == [[1], [2]]
    Journal(path).add(["[" * 100_000, "no json", "[4]"])
    assert Journal(path).read(json.loads) == [[1], [2], [4]]


def test_from_a_damaged_line_on_all_are_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    Journal(path).add("abcd")
    path.write_bytes(path.read_bytes().replace(b" c\n", b" C\n"))
    assert Journal(path).read_start(bytes.decode) == ["a", "b"]
    assert caplog.messages == [
        f"{path}: line 3 is damaged; it and the 1 after it were removed, and what they held is done again"
    ]
    Journal(path).add("x")
    assert kept(Journal(path)) == ["a", "b", "x"]


def test_nothing_is_kept_without_a_path() -> None:
    journal = Journal(None)
    journal.add(LINES)
    assert kept(journal) == journal.read_start(bytes.decode) == []


def test_a_place_that_is_no_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    os.mkfifo(tmp_path / "b.jsonl")
    for name, what in (("a", "folder"), ("b", "pipe")):
        path = tmp_path / f"{name}.jsonl"
        with pytest.raises(StorageError) as caught:
            kept(Journal(path))
        told = f"it is a {what}, not a file; move what is there away, then run again"
        assert str(caught.value) == f"cannot write {path}: {told}"
    with pytest.raises(StorageError, match="cannot write"):
        Journal(tmp_path / "a.jsonl").add(["a"])

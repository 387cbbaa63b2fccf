"""Lines that are whole or not there, whatever a kill left."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinkrec.errors import StorageError
from thinkrec.journal import Journal

LINES = ["é \u2028 \x85 \r é", "", "two"]


def test_lines_come_back_as_they_were_added(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work" / "a.jsonl")
    assert journal.lines() == []
    journal.add(LINES[:1])
    journal.add(LINES[1:])
    assert [line.decode() for line in journal.lines()] == LINES
    assert [line.decode() for line in journal.keep(5)] == LINES


def test_a_line_that_was_cut_off_is_removed_and_the_file_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.add(LINES)
    whole = journal.path.read_bytes() if journal.path else b""
    for end in range(len(whole)):
        (tmp_path / "a.jsonl").write_bytes(whole[:end])
        kept = journal.lines()
        assert kept == whole[:end].split(b"\n")[:-1]
        journal.add(["more"])
        assert journal.lines() == [*kept, b"more"]


def test_keep_removes_the_others_from_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.add("abcd")
    assert journal.keep(2) == journal.lines() == [b"a", b"b"]
    assert journal.keep(0) == journal.lines() == []


def test_nothing_is_kept_without_a_path() -> None:
    journal = Journal(None)
    journal.add(LINES)
    assert journal.lines() == journal.keep(1) == []


def test_a_place_that_is_a_folder_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    journal = Journal(tmp_path / "a.jsonl")
    with pytest.raises(StorageError, match="cannot write"):
        journal.lines()
    with pytest.raises(StorageError, match="cannot write"):
        journal.add(["a"])

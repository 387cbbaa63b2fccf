"""Answers on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from thinkrec.errors import StorageError
from thinkrec.teachers.cache import AnswerCache


def test_answers_come_back_in_a_new_process(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a" / "answers.jsonl")
    cache.put("r1", {"content": "line\nbreak \u2028 é"})
    cache.put("r2", "")
    again = AnswerCache(cache.path)
    assert again.get("r1") == {"content": "line\nbreak \u2028 é"}
    assert again.get("r2") == "" and again.get("r3") is None and len(again) == 2


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_file_goes_on(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers.jsonl")
    cache.put("r1", 1)
    cache.put("r2", 2)
    cache.path.write_bytes(cache.path.read_bytes()[:-4])
    again = AnswerCache(cache.path)
    assert again.get("r1") == 1 and again.get("r2") is None
    again.put("r3", 3)
    assert AnswerCache(cache.path).get("r3") == 3 and len(AnswerCache(cache.path)) == 2


def test_a_damaged_line_is_named_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"request": "r1", "answer": 1}\n[]\n{"request": "r2", "answer": 2}\n')
    with caplog.at_level(logging.WARNING):
        cache = AnswerCache(path)
    assert len(cache) == 2
    assert caplog.messages == [f"{path}, line 2 is damaged: its request is asked again"]


def test_a_full_disk_is_said_in_a_sentence() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full, which stands in for a full disk, is not on this system")
    cache = AnswerCache.__new__(AnswerCache)
    import threading

    cache.path, cache._lock, cache._answers = Path("/dev/full"), threading.Lock(), {}
    with pytest.raises(StorageError, match="cannot write /dev/full: no space left on device"):
        cache.put("r", 1)

"""Answers on disk."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from thinkrec.errors import StorageError
from thinkrec.journal import Journal
from thinkrec.teachers.cache import AnswerCache
from thinkrec.teachers.completion import Completion

ONE, TWO = Completion("Yes. One.", ""), Completion("Yes. Two.", "Hm.", "length")


def test_answers_come_back_in_a_new_process(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a" / "answers.jsonl")
    call = {"id": "c1", "type": "function", "function": {"name": "get_item", "arguments": "{}"}}
    said = Completion("line\nbreak \u2028 é", "", "tool_calls", [call], (10, 2))
    cache.put("r1", said)
    cache.put("r2", TWO)
    again = AnswerCache(cache.path)
    assert again.get("r1") == said
    assert again.get("r2") == TWO and again.get("r3") is None and len(again) == 2


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_file_goes_on(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers.jsonl")
    cache.put("r1", ONE)
    cache.put("r2", TWO)
    cache.path.write_bytes(cache.path.read_bytes()[:-4])
    again = AnswerCache(cache.path)
    assert again.get("r1") == ONE and again.get("r2") is None
    again.put("r3", TWO)
    assert AnswerCache(cache.path).get("r3") == TWO and len(AnswerCache(cache.path)) == 2


def test_lines_without_an_answer_are_counted_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"content": "Yes. One.", "thinking": ""}
    parts = [{"type": "text", "text": "Yes."}]  # as an earlier version kept it
    bad = ['[1]', '{"answer": 1}', *(
        json.dumps({"request": f"r{number}", "answer": answer})
        for number, answer in enumerate([
            1, None, good | {"content": parts}, {"content": "Yes."}, good | {"content": 5},
            good | {"tool_calls": "none"} | {"usage": [1]},
        ])
    ), "\x00", "[" * 100_000]  # fmt: skip
    path = tmp_path / "answers.jsonl"
    Journal(path).add([json.dumps({"request": "good", "answer": good}), *bad])
    with caplog.at_level(logging.WARNING):
        cache = AnswerCache(path)
    assert len(cache) == 1 and cache.get("good") == ONE
    assert caplog.messages == [
        f"{path}: 10 of 11 lines are damaged (the first is line 2); what they held is done again"
    ]


def test_an_answer_changed_by_hand_is_asked_for_again(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers.jsonl")
    cache.put("r1", ONE)
    cache.put("r2", TWO)
    cache.path.write_text(cache.path.read_text().replace("Yes. One.", "Yes. Won."))
    again = AnswerCache(cache.path)
    assert again.get("r1") is None and again.get("r2") == TWO


def test_halves_of_surrogate_pairs_in_earlier_answers_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Journal(path).add(['{"request": "r1", "answer": {"content": "Yes. A\\ud83d film.", "thinking": ""}}'])
    assert AnswerCache(path).get("r1") == Completion("Yes. A? film.", "")


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full, which stands in for a full disk, is not on this system")
    cache = AnswerCache(tmp_path / "answers.jsonl")
    cache.path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match=f"cannot write {cache.path}: no space left on device"):
        cache.put("r", ONE)

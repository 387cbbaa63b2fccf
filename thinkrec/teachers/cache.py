"""Answers already paid for, kept on disk so that a killed run goes on where it was."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from pydantic import TypeAdapter

from thinkrec.files import storage_errors
from thinkrec.journal import Journal
from thinkrec.teachers.completion import Said, printable

CACHE = "answers.jsonl"
"""The file of answers in a stage's work folder."""
_SAID = TypeAdapter(Said)


def _entry(line: bytes) -> tuple[str, Said]:
    """Hash of a request, and the answer to it."""
    entry = json.loads(line)
    return str(entry["request"]), _SAID.validate_python(printable(entry["answer"]))


class AnswerCache:
    """Append-only JSON lines, {"request": hash, "answer": fields of `Said`}; safe to use from threads.

    A line that a killed run left half-written is dropped, one that is damaged or holds no answer is skipped;
    their requests are asked again.

    Args:
        path: the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there."""
        self.path = path
        self._journal = Journal(path)
        self._lock = threading.Lock()
        self._answers: dict[str, Said] = {}
        with storage_errors(path):  # before anything is asked
            path.parent.mkdir(parents=True, exist_ok=True)
        self._answers.update(self._journal.read(_entry))

    def __len__(self) -> int:
        """Count of answers."""
        return len(self._answers)

    def get(self, request: str) -> Said | None:
        """The answer to a request's hash, or None."""
        return self._answers.get(request)

    def put(self, request: str, answer: Said) -> None:
        """Keep an answer, at once.

        Raises:
            StorageError: the disk is full or may not be written.
        """
        line = json.dumps({"request": request, "answer": vars(answer)})
        with self._lock:
            self._answers[request] = answer
            self._journal.add([line])

"""A cache of answers on disk, so that an interrupted run resumes without paying for them again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from pydantic import TypeAdapter

from thinkrec.files import storage_errors
from thinkrec.journal import Journal
from thinkrec.teachers.completion import Completion, printable

CACHE = "answers.jsonl"
"""Name of the cache file in a stage's work folder."""
_COMPLETION = TypeAdapter(Completion)


def _entry(line: bytes) -> tuple[str, Completion]:
    """Return the hash of a request, and the answer to it."""
    entry = json.loads(line)
    return str(entry["request"]), _COMPLETION.validate_python(printable(entry["answer"]))


class AnswerCache:
    """Append-only JSON lines, {"request": hash, "answer": fields of `Completion`}; thread-safe.

    Incomplete, damaged and empty lines are ignored, so that their requests are sent again.

    Args:
        path: the file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        """Read the existing answers."""
        self.path = path
        self._journal = Journal(path)
        self._lock = threading.Lock()
        self._answers: dict[str, Completion] = {}
        with storage_errors(path):  # before any request is sent
            path.parent.mkdir(parents=True, exist_ok=True)
        self._answers.update(self._journal.read(_entry))

    def __len__(self) -> int:
        """Return the number of answers."""
        return len(self._answers)

    def get(self, request: str) -> Completion | None:
        """Return the answer to the request with this hash, or None."""
        return self._answers.get(request)

    def put(self, request: str, answer: Completion) -> None:
        """Write an answer immediately.

        Raises:
            StorageError: the disk is full or not writable.
        """
        line = json.dumps({"request": request, "answer": vars(answer)})
        with self._lock:
            self._answers[request] = answer
            self._journal.add([line])

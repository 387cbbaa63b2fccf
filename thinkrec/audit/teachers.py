"""Teachers and extractors behind an endpoint, asked again without sending anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient, Message, Reply
from thinkrec.teachers.completion import Completion
from thinkrec.teachers.text import fingerprint


class UnansweredError(TeacherError):
    """The answer to this request was not kept."""


class Silent(ChatClient):
    """Answers from what an earlier run kept; never sends.

    Args:
        endpoint: address, model, budgets of that run.
        cache: its file of answers.
        seed: that it sent along.
    """

    def __init__(self, endpoint: Endpoint, cache: Path, seed: int = 0) -> None:
        """Open the kept answers; remember the requests of the latest question."""
        super().__init__(endpoint, "audit", cache, seed)
        self.requests: list[str] = []

    def ask(self, messages: list[Message], seed: int | None = None, **fields: Any) -> Reply:
        """Answer as `ChatClient`, and note the hash of the request under every answer budget.

        Raises:
            UnansweredError: the answer was not kept.
        """
        self.requests = [fingerprint(request) for request in self._requests(messages, seed, fields)]
        return super().ask(messages, seed, **fields)

    def _send(self, request: dict[str, Any]) -> Completion:
        raise UnansweredError(f"no answer was kept in {self.cache.path}")

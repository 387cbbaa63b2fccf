"""Teachers and extractors behind an endpoint, asked again without sending anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient, Message, Reply
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

    def ask(self, messages: list[Message]) -> Reply:
        """Answer as `ChatClient`, and note the hash of the request under every answer budget.

        Raises:
            UnansweredError: the answer was not kept.
        """
        first, more, most = (getattr(self.endpoint, f"{name}_tokens") for name in ("answer", "more", "most"))
        budgets = [*range(first, most, more), max(first, most)]
        self.requests = [fingerprint(self._request(messages, budget)) for budget in budgets]
        return super().ask(messages)

    def _send(self, request: dict[str, Any]) -> dict[str, str]:
        raise UnansweredError(f"no answer was kept in {self.cache.path}")

"""Teachers and extractors behind an endpoint, replayed from cached answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient, Message, Reply
from thinkrec.teachers.completion import Completion
from thinkrec.teachers.text import fingerprint


class UnansweredError(TeacherError):
    """The answer to this request is not cached."""


class CachedClient(ChatClient):
    """A client that answers from an earlier run's cache and never sends.

    Args:
        endpoint: address, model and budgets of that run.
        cache: its cache file.
        seed: its seed.
    """

    def __init__(self, endpoint: Endpoint, cache: Path, seed: int = 0) -> None:
        """Open the cache; `requests` are the hashes of the latest question's requests."""
        super().__init__(endpoint, "audit", cache, seed)
        self.requests: list[str] = []

    def ask(self, messages: list[Message], seed: int | None = None, **fields: Any) -> Reply:
        """Answer from the cache, and store the hashes of the request under every answer budget.

        Raises:
            UnansweredError: the answer is not cached.
        """
        self.requests = [fingerprint(request) for request in self._requests(messages, seed, fields)]
        return super().ask(messages, seed, **fields)

    def _send(self, request: dict[str, Any]) -> Completion:
        raise UnansweredError(f"no answer was kept in {self.cache.path}")

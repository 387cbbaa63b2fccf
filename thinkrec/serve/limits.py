"""What one request may ask of a server, and what all may. Values are our choice."""

from __future__ import annotations

from dataclasses import dataclass

from thinkrec.systems.registry import SYSTEMS

NAME = 300
"""Characters of an id or a title."""
HISTORY = 500
"""Interactions of a history that is handed in."""
CANDIDATES = 1000
"""Items of a request."""
BEST = 100
"""Items of a ranking."""
TOLD = 10
"""Items of a ranking with a reason for each."""
FOUND = 50
"""Items that a search gives."""


@dataclass(frozen=True)
class Limits:
    """Bounds that a server keeps, whoever asks.

    Args:
        body: bytes of a request's body.
        head: bytes of a request's line and headers.
        arrival: seconds in which the whole of a request has to arrive.
        seconds: that an answer may take, waiting included.
        waiting: requests for scores that wait for the model.
        slow: requests for generated texts that wait for the model.
        connections: open at once; half of the files that the process may open, where that is less.
        rows: items that a language model scores by one batch; a single request may have more.
        light_rows: the same of other systems.
        gather: seconds that a batch waits at most for further requests, where several came before.
        drain: seconds that a stop waits for requests in progress.
    """

    body: int = 256 * 1024
    head: int = 16 * 1024
    arrival: float = 10.0
    seconds: float = 120.0
    waiting: int = 128
    slow: int = 16
    connections: int = 512
    rows: int = 2048
    light_rows: int = 200_000
    gather: float = 0.005
    drain: float = 30.0

    def rows_of(self, system: str) -> int:
        """Items that a system scores by one batch."""
        return self.rows if SYSTEMS[system].kind == "language model" else self.light_rows

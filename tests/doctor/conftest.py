"""A server that lists models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from listing import Models


@pytest.fixture
def models() -> Iterator[Models]:
    running = Models()
    yield running
    running.close()

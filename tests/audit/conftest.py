"""Interactions made by hand, and finished artifacts to tamper with."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from small_chain import Chain

sys.path.append(str(Path(__file__).parent))

from tamper import made

from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout


@pytest.fixture
def data() -> Interactions:
    """Three users, five rows each, split by time: three train, one valid, one test."""
    when = 100 * np.tile(np.arange(5), 3) + np.repeat([0, 10, 20], 5)
    return made(
        user_id=np.repeat([1, 2, 3], 5),
        item_id=np.array([1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7]),
        label=np.array([1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1]),
        timestamp=when * SECOND,
        split=np.tile([0, 0, 0, 1, 2], 3),
    )


@pytest.fixture
def layout(chain: Chain, tmp_path: Path) -> Layout:
    """The chain's artifacts, to be tampered with."""
    return chain.copy(tmp_path)


@pytest.fixture
def table(layout: Layout) -> Interactions:
    return Interactions.load(layout.interactions)

"""Backbones of three families, and rows to score."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures import load_family
from small_chain import Chain

from thinkrec.data.tables import Interactions, Items
from thinkrec.llm.backbone import Backbone, load_backbone


@pytest.fixture
def loaded(chain: Chain) -> Backbone:
    """The chain's backbone, fresh for each test."""
    return load_backbone(chain.layout.backbone)


@pytest.fixture(params=["llama", "qwen3", "mistral"])
def family(request: pytest.FixtureRequest, chain: Chain, tmp_path: Path) -> Backbone:
    """A backbone of each family."""
    if request.param == "llama":
        return load_backbone(chain.layout.backbone)
    return load_family(tmp_path, request.param)


@pytest.fixture(scope="session")
def data(chain: Chain) -> Interactions:
    """The small data set's rows."""
    return Interactions.load(chain.layout.interactions)


@pytest.fixture(scope="session")
def items(chain: Chain) -> Items:
    """The small data set's items."""
    return Items.load(chain.layout.items, chain.layout.keywords)

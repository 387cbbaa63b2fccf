"""Interactions made by hand, and finished artifacts to tamper with."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_chain import Chain, agent_model

sys.path.append(str(Path(__file__).parent))

from tamper import made

from thinkrec.config.sections import Params
from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout

AGENT: dict[str, Any] = {
    "agent": {"max_turn_tokens": 24, "max_turns": 2, "test_cases": 12, "subset_users": 2},
    "trajectories": {"max_cases": 12, "rollouts": 2, "max_rank": 6},
    "evaluate-agent": {
        "systems": ["popularity", "item_mean", "mf", "sasrec", "scripted"],
        "orders": 1, "sampling_temperature": 0.0, "bootstrap_draws": 20, "batch_size": 16,
    },
}  # fmt: skip
"""Of the agent's stages what needs no training at all."""


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


@pytest.fixture(scope="session")
def everything(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The chain and the agent's artifacts, its adapters untrained; the raw folder is the chain's."""
    from thinkrec.agent.load import load_agent_backbone
    from thinkrec.llm.adapter import new_adapter, origin_of, save_adapter
    from thinkrec.stages import agent_backbone, evaluate_agent, trajectories

    layout = chain.copy(tmp_path_factory.mktemp("everything"))
    said = chain.params.model_dump(by_alias=True)
    said |= {name: {**said[name], **values} for name, values in AGENT.items()}
    said["agent-backbone"] = agent_model(layout.root / "agent-llama")
    said["datasets"]["demo"] |= {"raw": "raw", "watch": "raw"}
    params = Params.model_validate(said)
    with redirect_stderr(io.StringIO()):
        for stage in (agent_backbone, trajectories, evaluate_agent):
            stage.run(layout, params)
    for folder in (layout.agent_sft, layout.agent_grpo):
        backbone = load_agent_backbone(layout)
        origin = origin_of(backbone)
        save_adapter(new_adapter(backbone, params.agent_sft.lora, 7, "agent-sft"), folder, origin)
    return Chain(layout, params, {})

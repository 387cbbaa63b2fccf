"""Stage agent-grpo: the agent's LoRA goes on by reinforcement, on episodes of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.agent.load import load_agent_backbone, load_knowledge
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.files import whole
from thinkrec.layout import Layout

PART = 5  # of the steps, the first and the last, whose mean rewards are reported


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train what fills models/D/agent-grpo, a PEFT folder.

    Returns:
        Facts: steps, why it stopped early or "", and rewards and calls of the first and the last fifth.

    Raises:
        ModelError: backbone or adapter can't be used.
    """
    from thinkrec.agent.cases import load_cases
    from thinkrec.agent.grpo import train_grpo
    from thinkrec.artifacts.resume import work_key
    from thinkrec.llm.adapter import load_peft, origin_of, save_adapter
    from thinkrec.llm.checkpoints import forget, write_curves
    from thinkrec.llm.tracking import Tracking
    from thinkrec.prompts.guard import Guard

    tracking = Tracking.of(layout, params, "agent-grpo")
    backbone = load_agent_backbone(layout)
    data = Interactions.load(layout.interactions)
    knowledge = load_knowledge(layout, data, params.agent, Guard(backbone.tokenizer))
    cases = load_cases(layout.cases, data, "valid")
    origin = origin_of(backbone)
    model = load_peft(backbone, layout.agent_sft, trainable=True)
    work = layout.work("agent-grpo")
    own = work / work_key(layout, "agent-grpo", params)
    history, reason = train_grpo(
        model,
        backbone.tokenizer,
        cases,
        knowledge,
        params.agent,
        params.agent_grpo,
        own,
        params.seed,
        tracking,
    )
    with whole(layout.agent_grpo) as folder:
        save_adapter(model, folder, origin)
    write_curves(layout.curve("agent-grpo"), [("grpo", history)], SERIES)
    forget(work)
    return {"steps": sum("reward" in line for line in history), "stopped": reason, **_change(history)}


SERIES = {
    "reward": "reward", "rewards/ndcg/mean": "ndcg", "rewards/format/mean": "format",
    "rewards/efficiency/mean": "efficiency", "tools/call_frequency": "calls",
    "tools/failure_frequency": "failed_calls", "frac_reward_zero_std": "groups_without_spread",
    "entropy": "entropy",
}  # fmt: skip


def _change(history: list[dict[str, float]]) -> dict[str, Any]:
    """Means of the first and of the last steps."""
    lines = [line for line in history if "reward" in line]
    part = max(len(lines) // PART, 1)
    means: dict[str, Any] = {}
    for name, series in SERIES.items():
        values = [float(line[name]) for line in lines if name in line]
        if values:
            means[series] = {
                "first": round(float(np.mean(values[:part])), 4),
                "last": round(float(np.mean(values[-part:])), 4),
            }
    return means

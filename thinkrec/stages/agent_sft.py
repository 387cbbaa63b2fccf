"""Stage agent-sft: a LoRA on the agent's backbone, trained on the kept trajectories."""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkrec.agent.load import load_agent_backbone, load_knowledge, setting_of
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.files import whole
from thinkrec.layout import Layout


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train what fills models/D/agent-sft, a PEFT folder.

    Returns:
        Facts: trajectories, those held out, those too long, and the held-out loss.

    Raises:
        DataError: too few trajectories.
        ModelError: the backbone can't be used.
    """
    from thinkrec.agent.environment import bound
    from thinkrec.agent.rollout import read_trajectories
    from thinkrec.agent.sft import Sizes, encoded, train_sft
    from thinkrec.artifacts.resume import work_key
    from thinkrec.llm.adapter import new_adapter, origin_of, save_adapter
    from thinkrec.llm.checkpoints import forget, write_curves
    from thinkrec.llm.tracking import Tracking

    tracking = Tracking.of(layout, params, "agent-sft")
    options, training, seed = params.agent, params.agent_sft, params.seed
    backbone = load_agent_backbone(layout)
    data = Interactions.load(layout.interactions)
    tools = bound(setting_of(load_knowledge(layout, data, options), options, []).environment())
    trajectories = list(read_trajectories(layout.trajectories))
    users = np.unique([each.user for each in trajectories])
    count = int(np.ceil(training.valid_share * len(users)))
    held = set(np.random.default_rng(seed).choice(users, count, replace=False).tolist())
    parts = [[e for e in trajectories if (e.user in held) == out] for out in (False, True)]
    most = options.max_episode_tokens + 2048
    (train, long), (valid, _) = (encoded(backbone.tokenizer, part, tools, most) for part in parts)
    origin = origin_of(backbone)
    model = new_adapter(backbone, training.lora, seed, "agent-sft")
    sizes = Sizes(
        training.learning_rate, training.epochs, training.batch_size, training.gradient_accumulation,
        training.evaluations, training.gradient_checkpointing,
    )  # fmt: skip
    work = layout.work("agent-sft")
    key = work_key(layout, "agent-sft", params)
    history = train_sft(model, backbone.tokenizer, train, valid, sizes, work / key, seed, tracking=tracking)
    with whole(layout.agent_sft) as folder:
        save_adapter(model, folder, origin)
    write_curves(
        layout.curve("agent-sft"), [("sft", history)], {"loss": "loss", "eval_loss": "held_out_loss"}
    )
    forget(work)
    losses = [line["eval_loss"] for line in history if "eval_loss" in line]
    return {
        "trajectories": len(train), "held_out": len(valid), "too_long": long,
        "held_out_loss": round(min(losses), 4),
    }  # fmt: skip

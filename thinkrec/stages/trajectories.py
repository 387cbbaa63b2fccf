"""Stage trajectories: cases for all, rollouts on the training ones, and the filter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkrec.agent.load import load_agent_backbone, load_knowledge, setting_of
from thinkrec.config.agent import Agent, Trajectories
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError
from thinkrec.files import latest, whole
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    from thinkrec.agent.cases import Case
    from thinkrec.agent.rollout import Model

log = logging.getLogger(__name__)


def make_cases(layout: Layout, options: Agent, training: int, seed: int) -> tuple[list[Case], dict[str, Any]]:
    """Draw and store the cases of valid, for training, and of test.

    Returns:
        The training cases, and counts of cases and of rows that gave none.

    Raises:
        DataError: no row of a split gave a case.
    """
    from thinkrec.agent.cases import chosen_cases, draw_cases, last_likes, save_cases
    from thinkrec.data.tables import Items

    data, items = Interactions.load(layout.interactions), len(Items.load(layout.items).title) - 1
    valid = data.rows("valid")
    rows = {"valid": valid[data.label[valid] == 1], "test": last_likes(data)}
    facts: dict[str, Any] = {}
    kept: dict[str, list[Case]] = {}
    for split, own in rows.items():
        drawn = draw_cases(data, items, own, split, options.candidates, seed)  # type: ignore[arg-type]
        left_out = {"before_end_of_train": drawn.early, "item_unknown": drawn.unknown, "few_items": drawn.few,
                    "met_before": drawn.again}  # fmt: skip
        facts[split] = {"rows": len(own), "left_out": left_out}
        if not drawn.cases:
            raise DataError(
                f"no like of {split} gives a case: {left_out}; the agent needs a split by time, whose "
                "valid and test rows come after the end of train"
            )
        most, users = (training, 0) if split == "valid" else (options.test_cases, options.subset_users)
        kept[split] = chosen_cases(drawn.cases, data, most, users, seed)
        facts[split]["cases"] = len(kept[split])
    save_cases(layout.cases, [*kept["valid"], *kept["test"]], data)
    return kept["valid"], facts


def _investigator(layout: Layout, options: Agent, choices: Trajectories) -> Model:
    from thinkrec.agent.scripted import Scripted

    if choices.source == "scripted":
        return Scripted()
    if choices.source == "endpoint":
        from thinkrec.agent.endpoint import Remote
        from thinkrec.teachers.chat import ChatClient

        cache = layout.work("trajectories") / "answers.jsonl"
        client = ChatClient(choices.endpoint, "trajectories", cache)
        return Remote(client)
    from thinkrec.agent.local import Local

    loaded = load_agent_backbone(layout)
    return Local(loaded.model, loaded.tokenizer, loaded.name, choices.temperature, options.max_turn_tokens)


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Write cases.parquet and trajectories.jsonl.

    Returns:
        Facts: cases, rollouts, and how many were kept or dropped for which reason.

    Raises:
        DataError: no row gives a case, or no rollout was kept.
        MissingInputError: a table, the encoder or the agent's backbone is missing.
        TeacherError: the endpoint failed for good, or refused all that it was asked.
    """
    from thinkrec.agent.filter import filtered
    from thinkrec.agent.rollout import roll_out, written
    from thinkrec.artifacts.resume import work_key
    from thinkrec.llm.backbone import load_tokenizer
    from thinkrec.llm.checkpoints import forget
    from thinkrec.prompts.guard import Guard

    options, choices, seed = params.agent, params.trajectories, params.seed
    require(layout, "agent_backbone")
    cases, facts = make_cases(layout, options, choices.max_cases, seed)
    model = _investigator(layout, options, choices)
    guard = Guard(load_tokenizer(layout.agent_backbone))  # of whose own tokens none may come of items' texts
    knowledge = load_knowledge(layout, Interactions.load(layout.interactions), options, guard)
    rng = np.random.default_rng(seed)
    repeated = [case.shuffled(int(rng.integers(2**31))) for case in cases for _ in range(choices.rollouts)]
    seeds = rng.integers(2**31, size=len(repeated)).tolist()
    key = work_key(layout, "trajectories", params, files=[latest(layout.cases)])
    journal = layout.work("trajectories") / f"{key}.jsonl"
    setting = setting_of(knowledge, options, cases)
    episodes = roll_out(
        model, repeated, setting, seeds, choices.batch_size, journal, "trajectories: rollouts"
    )
    kept, dropped = filtered(episodes, choices)
    if not kept:
        raise DataError(
            f"none of {len(episodes)} rollouts was kept ({dict(dropped)}): raise trajectories.max_rank or "
            "trajectories.rollouts in params.yaml, or choose another trajectories.source"
        )
    with whole(layout.trajectories) as beside:
        beside.write_text("".join(f"{written(each)}\n" for each in kept), encoding="utf-8")
    forget(layout.work("trajectories"))
    return {
        **facts,
        "source": model.name,
        "rollouts": len(episodes),
        "kept": len(kept),
        "dropped": dict(dropped),
    }

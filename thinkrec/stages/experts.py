"""Stage experts: for each group of users a LoRA that starts from the global one; its last layers train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.layout import Layout
from thinkrec.stages.seeds import Training, train_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftModel

    from thinkrec.llm.plan import Plan


def plan_experts(layout: Layout, params: Params) -> Iterator[Plan[PeftModel]]:
    """What `run` trains, group by group, the global adapter's weights put back before each.

    A checkpoint is chosen on the group's own valid rows, or on all where the group has none.

    Args:
        layout: where the artifacts of the variant lie.
        params: as the variant is trained with.

    Raises:
        ModelError: the global adapter does not fit or changes no score.
    """
    from thinkrec.llm.adapter import check_prompts, load_peft, set_weights, train_last
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.examples import Rationales, asked_of, training_samples
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.trainer import Task
    from thinkrec.prompts.render import PromptWriter
    from thinkrec.systems.proof import PROBE, prove_peft

    training, loss, prompt, seed = params.experts, params.loss, params.prompt, params.seed
    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    writer = PromptWriter.load(layout, loaded.tokenizer, prompt, protocol=params.choose_by)
    groups = pq.read_table(layout.clusters / "groups.parquet")
    group = np.zeros(data.users + 1, dtype=np.int64)
    group[groups["user_id"].to_numpy()] = groups["group"].to_numpy()
    rationales = Rationales.for_training(layout, data, loss)
    check_prompts(layout.global_adapter, prompt.layout)
    model = load_peft(loaded, layout.global_adapter, trainable=True)
    probe = asked_of(writer, data, data.rows("valid")[:PROBE])
    prove_peft(model, loaded, probe, loss.score, f"adapter {layout.global_adapter}")
    train_last(model, training.last_layers)
    for number in range(1, int(group.max()) + 1):
        own = data.rows("train")[group[data.user_id[data.rows("train")]] == number]
        valid = data.rows("valid")[group[data.user_id[data.rows("valid")]] == number]
        valid = sample_rows(valid if len(valid) else data.rows("valid"), training.valid_rows, seed)
        samples = training_samples(writer, data, own, rationales, loss, training, seed + number)
        set_weights(model, layout.global_adapter)
        task = Task(loaded, loss.score, asked_of(writer, data, valid), f"experts: {number}, seed {seed}")
        yield Plan(f"expert {number}", model, samples, task, training, len(own), len(rationales.rows))


def _train(layout: Layout, params: Params, folder: Path, work: Path) -> Training:
    from thinkrec.llm.adapter import origin_of, prompts_of, save_adapter
    from thinkrec.llm.checkpoints import choice
    from thinkrec.llm.tracking import Tracking
    from thinkrec.llm.trainer import train

    tracking = Tracking.of(layout, params, "experts")
    facts: dict[str, Any] = {"trained_weights": 0, "groups": {}}
    curves = []
    for number, plan in enumerate(plan_experts(layout, params), 1):
        own = work / str(number)
        history = train(
            plan.model,
            plan.samples,
            plan.task,
            plan.training,
            own,
            params.seed,
            tracking=tracking.of_part(str(number)),
        )
        origin = origin_of(plan.task.backbone) | prompts_of(params.prompt.layout)
        save_adapter(plan.model, folder / str(number), origin)
        curves.append((plan.name, history))
        facts["trained_weights"] = plan.weights
        facts["groups"][str(number)] = {"rows": plan.rows, **choice(history, len(plan.task.valid))}
    return facts, curves


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train the LoRAs that fill models/D/adapters/VARIANT/experts/<k>, PEFT folders, one a group and seed.

    Those of a further seed start from the global LoRA of that seed.

    Returns:
        Facts: for each group its rows and the chosen checkpoint; the count of weights that trained; see
            `train_seeds`.

    Raises:
        ModelError: the global adapter does not fit, or a loss is not finite.
    """
    return train_seeds("experts", layout, params, layout.experts, _train)

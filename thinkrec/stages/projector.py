"""Stage projector: collaborative vectors into the prompt, every LoRA fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Params, Projector
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.files import whole
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.student import Student


def plan_projector(layout: Layout, training: Projector, params: Params, seed: int) -> Plan[Student]:
    """What `run` trains: a fresh projector on all of train, under each user's fused adapters.

    Raises:
        MissingInputError: the encoder was not trained.
        ModelError: a part does not fit.
    """
    require(layout, f"encoders/{params.cluster.encoder}")
    import torch

    from thinkrec.llm import projector as rooms
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.examples import Rationales, asked_of, training_samples
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.trainer import Task
    from thinkrec.prompts.render import PromptWriter
    from thinkrec.systems.fusion import load_fusion, load_student
    from thinkrec.systems.proof import PROBE

    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.evaluate.gate)
    torch.manual_seed(seed)
    table: torch.Tensor = loaded.model.get_input_embeddings().weight  # type: ignore[assignment]
    width, size = fusion.vectors.user.shape[1], float(table.float().norm(dim=1).mean())
    made = rooms.Projector(width, table.shape[1], training.expansion, size)
    made.standardise(torch.cat([fusion.vectors.user, fusion.vectors.item]))
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, vectors=True)
    loss = params.global_.loss
    rows, rationales = data.rows("train"), Rationales.load(layout, data, "train")
    samples = training_samples(writer, data, rows, rationales, loss, training, seed)
    valid = asked_of(writer, data, sample_rows(data.rows("valid"), training.valid_rows, seed))
    student = load_student(
        layout,
        loaded,
        fusion,
        "thinkrec",
        valid.first(PROBE),
        loss.score,
        params.prompt,
        made.to(table.device),
    )
    task = Task(loaded, loss.score, valid, f"projector, seed {seed}")
    return Plan("projector", student, samples, task, training, len(rows), len(rationales.rows))


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train what fills models/D/projector, on the global data, each row under its own user's fused adapters.

    Returns:
        Facts: weights, samples, the chosen checkpoint's AUC and UAUC on (a sample of) valid.

    Raises:
        MissingInputError: the encoder was not trained.
        ModelError: a part does not fit, or a loss is not finite.
    """
    from thinkrec.artifacts.resume import work_key
    from thinkrec.llm.checkpoints import choice, forget, write_curves
    from thinkrec.llm.trainer import train

    plan = plan_projector(layout, params.projector, params, params.seed)
    work = layout.work("projector") / work_key(layout, "projector", params)
    history = train(plan.model, plan.samples, plan.task, params.projector, work, params.seed)
    made = plan.model.projector
    assert made is not None  # plan_projector has put it there
    with whole(layout.projector) as folder:
        folder.mkdir(parents=True)
        made.save(folder)
    write_curves(layout.curve("projector"), [(plan.name, history)])
    forget(layout.work("projector"))
    chosen = choice(history, len(plan.task.valid))
    return {"weights": plan.weights, "samples": len(plan.samples), **chosen}

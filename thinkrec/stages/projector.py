"""Stage projector: collaborative vectors into the prompt, every LoRA fixed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.layout import Layout, require
from thinkrec.stages.seeds import Training, train_seeds

if TYPE_CHECKING:
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.student import Student


MARK = "-"  # whose embedding the projector begins near: what begins a line of a list (our choice)


def plan_projector(layout: Layout, params: Params) -> Plan[Student]:
    """What `run` trains: a fresh projector on all of train, under each user's adapters.

    Args:
        layout: where the artifacts of the variant lie.
        params: as the variant is trained with.

    Raises:
        MissingInputError: the encoder was not trained.
        ModelError: a part does not fit.
    """
    require(layout, f"encoders/{params.cluster.encoder}")
    import torch

    from thinkrec.cf.tensors import load_vectors
    from thinkrec.llm import projector as rooms
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.examples import Rationales, asked_of, training_samples
    from thinkrec.llm.plan import Plan
    from thinkrec.llm.student import Vectors
    from thinkrec.llm.trainer import Task
    from thinkrec.prompts.render import PromptWriter
    from thinkrec.prompts.tokens import encode_texts
    from thinkrec.systems.fusion import load_fusion, load_student
    from thinkrec.systems.parts import LANGUAGE
    from thinkrec.systems.proof import PROBE

    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    training, seed = params.projector, params.seed
    fused = LANGUAGE[layout.variant].adapters == "fused"
    fusion = load_fusion(layout, params.cluster.encoder, params.gate) if fused else None
    own = load_vectors(layout.encoder(params.cluster.encoder))
    vectors = Vectors(own.user, own.item)
    torch.manual_seed(seed)
    table: torch.Tensor = loaded.model.get_input_embeddings().weight  # type: ignore[assignment]
    made = rooms.Projector(vectors.user.shape[1], table.shape[1], training.expansion)
    made.start_near(table[encode_texts(loaded.tokenizer, [MARK])[0][0]].float().cpu())
    made.standardise(torch.cat([vectors.user, vectors.item]))
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, True, params.choose_by)
    loss = params.loss
    rows, rationales = data.rows("train"), Rationales.for_training(layout, data, loss)
    samples = training_samples(writer, data, rows, rationales, loss, training, seed)
    valid = asked_of(writer, data, sample_rows(data.rows("valid"), training.valid_rows, seed))
    student = load_student(
        layout,
        loaded,
        fusion or vectors,
        layout.variant,
        valid.first(PROBE),
        loss.score,
        params.prompt,
        made.to(table.device),
    )
    task = Task(loaded, loss.score, valid, f"projector, seed {seed}")
    return Plan("projector", student, samples, task, training, len(rows), len(rationales.rows))


def _train(layout: Layout, params: Params, folder: Path, work: Path) -> Training:
    from thinkrec.llm.checkpoints import choice
    from thinkrec.llm.tracking import Tracking
    from thinkrec.llm.trainer import train

    tracking = Tracking.of(layout, params, "projector")
    plan = plan_projector(layout, params)
    history = train(plan.model, plan.samples, plan.task, plan.training, work, params.seed, tracking=tracking)
    made = plan.model.projector
    assert made is not None  # plan_projector has put it there
    folder.mkdir()
    made.save(folder)
    chosen = choice(history, len(plan.task.valid))
    return {"weights": plan.weights, "samples": len(plan.samples), **chosen}, [(plan.name, history)]


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Train what fills models/D/adapters/VARIANT/projector, under each user's adapters, once a seed.

    That of a further seed stands on the adapters of that seed, and on the same vectors and groups.

    Returns:
        Facts: weights, samples, the chosen checkpoint's AUC and UAUC on (a sample of) valid; see
            `train_seeds`.

    Raises:
        MissingInputError: the encoder was not trained.
        ModelError: a part does not fit, or a loss is not finite.
    """
    return train_seeds("projector", layout, params, layout.projector, _train)

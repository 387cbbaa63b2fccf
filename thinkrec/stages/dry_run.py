"""Dry runs: what a stage would cost, from its own plan of its work; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from thinkrec.artifacts.check import inputs_of, params_of
from thinkrec.config.sections import Params
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES
from thinkrec.pipeline import named as parsed
from thinkrec.runs import device_facts, peak_memory_mb
from thinkrec.stages.evaluate import explained, scored_rows
from thinkrec.stages.experts import plan_experts
from thinkrec.stages.global_ import plan_global
from thinkrec.stages.projector import plan_projector
from thinkrec.stages.stand_ins import STAND_INS, stood_in
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import entry, needs_of_stage, speakers

if TYPE_CHECKING:
    from thinkrec.costs.estimate import Estimate, Part

UNNEEDED = (*STAND_INS, "baselines")
"""Inputs of the stages that their dry runs do without."""


def _times(part: Part, count: int) -> Part:
    """The same work for each of several trainings, which are alike."""
    name = part.name if count == 1 else f"{part.name}, {count} seeds"
    return replace(
        part, name=name, passes=count * part.passes, steps=count * part.steps, flops=count * part.flops,
        seconds=count * part.seconds,
    )  # fmt: skip


def _global(layout: Layout, params: Params) -> Iterator[Part]:
    from thinkrec.costs.estimate import training_parts

    yield from training_parts(plan_global(layout, params), params.seed)


def _experts(layout: Layout, params: Params) -> Iterator[Part]:
    from thinkrec.costs.estimate import training_parts

    for plan in plan_experts(layout, params):
        yield from training_parts(plan, params.seed)


def _projector(layout: Layout, params: Params) -> Iterator[Part]:
    from thinkrec.costs.estimate import training_parts

    yield from training_parts(plan_projector(layout, params), params.seed)


def _evaluate(layout: Layout, params: Params) -> Iterator[Part]:
    from thinkrec.costs.estimate import reason_part, scoring_part
    from thinkrec.reports.gate import WAYS, fused, gate_scoring
    from thinkrec.systems.language import LanguageModel

    project = Project(layout, params)
    named = [entry(name) for name in params.named(params.evaluate.systems)]
    systems = {
        each.name: LanguageModel(project, each.name) for each in named if each.kind == "language model"
    }
    rows = scored_rows(project.data)
    for system in systems.values():
        trained = 1 if system.parts.adapters == "none" else params.seeds
        for protocol in params.evaluate.protocols:
            part = scoring_part(system.plan(Candidates.of_rows(project.data, rows, protocol)))
            yield _times(replace(part, name=f"{part.name}, {protocol}"), trained)
    if (name := fused(list(systems))) and len(project.data.rows("valid")):
        plan = gate_scoring(systems[name], params.training.valid_rows, params.seed)
        yield replace(scoring_part(plan, len(WAYS)), name="gate")
    for speaking in speakers(systems):
        asked, texts = explained(project, params.seed)
        if texts:
            yield reason_part(systems[speaking].plan(asked), texts, params.evaluate, params.seed)


_Parts = Callable[[Layout, Params], Iterator["Part"]]
_TRAINING = "saving of checkpoints, the proof of inputs for resuming, loading the model for further seeds"
_PARTS: dict[str, tuple[_Parts, str]] = {
    "global": (_global, _TRAINING),
    "experts": (_experts, _TRAINING),
    "projector": (_projector, _TRAINING),
    "evaluate": (_evaluate, "collaborative encoders, gbdt, the probe of adapters, intervals, the report"),
}
"""How the stages that have a dry run are costed, and what of them is left out."""


def _model_of(layout: Layout, params: Params) -> str:
    """Name the backbone that is measured, and the one in params.yaml where that is another."""
    noted = read_json(layout.backbone / "backbone.json")
    found = f"{noted['model']} in {noted['dtype']}"
    wanted = params.backbone.model
    if noted["model"] == wanted:
        return found
    return (
        f"{found}; params.yaml names {wanted} now: run `thinkrec backbone --dataset {layout.dataset}` first"
    )


def dry_run(stage: str, layout: Layout, params: Params) -> Estimate:
    """Cost one of the stages that want a GPU.

    Args:
        stage: one that has a dry run in the table of stages.
        layout: where the artifacts lie; what this stage's predecessors would train may be missing.
        params: all of params.yaml.

    Raises:
        MissingInputError: an encoder was not trained.
        ModelError: a part does not fit, or memory does not suffice for one row.
    """
    from thinkrec.costs.estimate import Estimate

    parts_of, left_out = _PARTS[stage]
    inputs = inputs_of(stage, params, needs_of_stage(params, stage), layout.variant)
    needed = [name for name in inputs if parsed(name).artifact in STAND_INS]
    with stood_in(layout, params, needed) as (other, missing):
        start = time.perf_counter()
        parts = list(parts_of(other, params_of(layout, stage, params)))
        preparing = time.perf_counter() - start - sum(part.calibration_seconds for part in parts)
    if STAGES[stage].by_variant:  # evaluate has multiplied what is scored once a seed
        parts = [_times(part, params.seeds) for part in parts]
    grows = max((part.extra_bytes for part in parts), default=0)
    facts = device_facts()
    gpu = facts["peak_gpu_memory_mb"]
    return Estimate(
        stage,
        layout.dataset,
        _model_of(layout, params),
        parts,
        preparing,
        facts["device"],
        int(peak_memory_mb() * 1e6) + (grows if gpu is None else 0),
        None if gpu is None else int(gpu * 1e6) + grows,
        missing,
        left_out,
    )

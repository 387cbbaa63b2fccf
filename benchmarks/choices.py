"""Compare choices for the LoRA on all data: one training each, scored on the same valid rows.

    python benchmarks/choices.py DATASET [--rows 600] [--only NAME ...]

Run it in the root of a project in which `thinkrec synthesize`, `thinkrec backbone` and, for the last lines,
`thinkrec projector` ran for DATASET. Each choice changes params.yaml's values for `global` and trains as that
stage does, in memory; nothing of the project is changed, and test chooses nothing. A line has AUC and UAUC of
both scores, whichever was trained, with the standard error of AUC over resamples of users, the cross-entropy
of a rationale at the end of training, and the seconds of training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from encoders import machine
from torch import Tensor

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params, Prompt
from thinkrec.config.tree import dumped
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.errors import MissingInputError
from thinkrec.layout import Layout, require
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.batches import Batch
from thinkrec.llm.examples import asked_of
from thinkrec.llm.plan import Plan
from thinkrec.llm.scorer import Asked, score
from thinkrec.llm.student import Student, hidden_states
from thinkrec.llm.trainer import train
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.prompts.render import PromptWriter
from thinkrec.stages.global_ import plan_global
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.language import LanguageModel
from thinkrec.systems.project import Project
from thinkrec.systems.registry import needs_of
from thinkrec.variants import DEFAULT, without_projector

SEED = 7
DRAWS = 300
FOUR = ["q_proj", "k_proj", "v_proj", "o_proj"]
PAPER = {"start": None, "lora": {"rank": 8, "alpha": 16, "target_modules": ["q_proj", "v_proj"]}}
ALL = {"rank": 16, "alpha": 32, "target_modules": [*FOUR, "gate_proj", "up_proj", "down_proj"]}
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "as in params.yaml": {},
    "yes_logit": {"loss": {"score": "yes_logit"}},
    "rate 1e-4": {"global": {"learning_rate": 1e-4}},
    "rate 1e-3": {"global": {"learning_rate": 1e-3}},
    "no start, rate 1e-3": {"global": {"start": None, "learning_rate": 1e-3}},
    "no start, all projections, rate 5e-4": {"global": {"start": None, "learning_rate": 5e-4, "lora": ALL}},
    "no start, q and v, rank 8 (paper), rate 1e-3": {"global": {**PAPER, "learning_rate": 1e-3}},
    "the same, yes_logit": {"global": {**PAPER, "learning_rate": 1e-3}, "loss": {"score": "yes_logit"}},
    "no rationales": {"loss": {"reasoning_share": 0.0}},
    "no history verdicts": {"global": {"history": False}},
    "prompts with receptions": {"prompt": {"reception": True}},
}


def changed(params: Params, values: dict[str, dict[str, Any]]) -> Params:
    """Return the parameters with other values in some sections."""
    tree = dumped(params)
    for section, own in values.items():
        for key, value in own.items():
            old = tree[section].get(key)
            tree[section][key] = {**old, **value} if isinstance(old, dict) and value else value
    return Params.model_validate(tree)


def figures(hidden: Callable[[Batch], Tensor], backbone: Backbone, asked: Asked, size: int) -> str:
    """Return the cells of both scores, read from one pass: AUC, its standard error over users, UAUC."""
    cells, states = [], []

    def kept(batch: Batch) -> Tensor:
        states.append(hidden(batch))
        return states[-1]

    for kind in ("yes_logit", "yes_minus_no"):
        again = iter(states)
        found = score((lambda _: next(again)) if states else kept, backbone, asked, size, kind)  # noqa: B023
        values = ranking_metrics(asked.user, asked.label, found).values
        cells.append(f"{values['auc']:.3f} ± {spread(asked, found):.3f} | {values['uauc']:.3f}")
    return " | ".join(cells)


def spread(asked: Asked, found: np.ndarray) -> float:
    """Return the standard deviation of AUC over resamples of users."""
    rng, users = np.random.default_rng(SEED), np.unique(asked.user)
    own = {user: np.flatnonzero(asked.user == user) for user in users.tolist()}
    values = []
    for _ in range(DRAWS):
        rows = np.concatenate([own[user] for user in rng.choice(users, len(users)).tolist()])
        value = ranking_metrics(asked.user[rows], asked.label[rows], found[rows]).values["auc"]
        values.append(0.5 if value is None else value)
    return float(np.std(values))


def trained(plan: Plan[Any], work: Path) -> str:
    """Train a plan; returns the cells of the rationales' loss and of the seconds."""
    began = time.perf_counter()
    history = train(plan.model, plan.samples, plan.task, plan.training, work, SEED)
    losses = [line["reasoning_ce"] for line in history if "reasoning_ce" in line]
    last = f"{np.mean(losses[-10:]):.2f}" if losses else ""
    return f"{last} | {time.perf_counter() - began:.0f}"


def main() -> None:
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--rows", type=int, default=600, help="valid rows")
    parser.add_argument("--only", action="append", choices=CHOICES, help="choices to train; all by default")
    options = parser.parse_args()
    layout, params = Layout(options.dataset), load_params()
    data = Interactions.load(layout.interactions)
    rows = sample_rows(data.rows("valid"), options.rows, SEED)
    size = params.evaluate.batch_size

    def asked(backbone: Backbone, prompt: Prompt = params.prompt) -> Asked:
        writer = PromptWriter.load(layout, backbone.tokenizer, prompt, protocol=params.choose_by)
        return asked_of(writer, data, rows)

    def tested(
        name: str, model: Any, backbone: Backbone, cells: str = " | ", prompt: Prompt = params.prompt
    ) -> None:
        model.eval()
        rows_asked = asked(backbone, prompt)
        found = figures(lambda batch: hidden_states(model, batch, backbone), backbone, rows_asked, size)
        print(f"| {name} | {found} | {cells} |", flush=True)

    print(f"{machine(2)}; {len(rows)} valid rows, {params.choose_by}, seed {SEED}\n")
    print("| what | yes_logit AUC | UAUC | yes_minus_no AUC | UAUC | rationale CE | seconds |")
    print("|---|---|---|---|---|---|---|", flush=True)
    bare = load_backbone(layout.backbone)
    print(f"| backbone alone | {figures(Student(bare), bare, asked(bare), size)} | | |", flush=True)
    if params.global_.start:
        own = plan_global(layout, params)
        tested(f"the start {params.global_.start}", own.model, own.task.backbone)
    for name in options.only or CHOICES:
        chosen = changed(params, CHOICES[name])
        plan = plan_global(layout, chosen)
        training = plan.training.model_copy(update={"evaluations": 1, "patience": None})
        plan = replace(plan, training=training, task=replace(plan.task, valid=plan.task.valid.first(1)))
        with tempfile.TemporaryDirectory() as work:
            cells = trained(plan, Path(work))
        tested(f"global, {name}", plan.model, plan.task.backbone, cells, chosen.prompt)
    project = Project(layout, params)
    for name in ("global", without_projector(DEFAULT), DEFAULT):
        try:
            require(layout, *needs_of(params, [name]))
        except MissingInputError as error:
            print(f"{name} is left out: {error}")
            continue
        scoring = LanguageModel(project, name).plan(Candidates.of_rows(data, rows, params.choose_by))
        cells = figures(scoring.student, project.backbone, scoring.asked, size)
        print(f"| {name}, trained in the project | {cells} | | |", flush=True)


if __name__ == "__main__":
    main()

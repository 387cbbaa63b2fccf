"""The gate's report: its decisions as a curve, and what fusion costs or gains on valid rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from thinkrec.data.tables import Interactions
from thinkrec.experts.curve import configured, gate_curve, ways
from thinkrec.experts.gate import Kind
from thinkrec.files import write_csv, write_json
from thinkrec.llm.scorer import score
from thinkrec.llm.student import Student
from thinkrec.metrics.bootstrap import paired_difference
from thinkrec.metrics.predictions import Predictions
from thinkrec.metrics.ranking import rounded
from thinkrec.metrics.slices import evaluate_slices
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.language import LanguageModel, Scoring
from thinkrec.systems.parts import LANGUAGE
from thinkrec.systems.project import Project
from thinkrec.variants import DEFAULT

COLUMNS = ("parameter", "value", "kind", "share")
WAYS = ("gate", "averaged", "nearest", "mixed")
"""What is compared: see `thinkrec.experts.curve.ways`."""
_METRICS = ("auc", "uauc")


def fused(names: Sequence[str]) -> str | None:
    """Return the system whose fusion is measured: the default variant's, else the first that fuses."""
    found = [name for name in names if name in LANGUAGE and LANGUAGE[name].adapters == "fused"]
    return DEFAULT if DEFAULT in found else next(iter(found), None)


def sampled(data: Interactions, most: int, seed: int) -> np.ndarray:
    """Return the valid rows of users drawn at random, whole users, ascending.

    At most `most` rows; those of the first drawn user in any case.
    """
    rows = data.rows("valid")
    users, counts = np.unique(data.user_id[rows], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(users))
    fitting = counts[order].cumsum() <= most
    fitting[:1] = True
    return rows[np.isin(data.user_id[rows], users[order[fitting]])]


def gate_scoring(system: LanguageModel, most: int, seed: int) -> Scoring:
    """Lay out the valid rows on which the ways are compared, under the headline's protocol."""
    data = system.project.data
    rows = sampled(data, most, seed)
    return system.plan(Candidates.of_rows(data, rows, system.params.evaluate.headline))


def decided(project: Project) -> tuple[list[tuple[str, float, str, float]], dict[str, int]]:
    """Return the rows of gate.csv, and how many users with valid rows the gate decided which way.

    Raises:
        ModelError: groups or vectors can't be used.
    """
    fusion, data = project.fusion, project.data
    vectors = fusion.vectors.user.numpy()[np.unique(data.user_id[data.rows("valid")])]
    kinds = fusion.decide(vectors).kind
    counts = {kind.name.lower(): int((kinds == kind).sum()) for kind in Kind}
    return list(gate_curve(vectors, fusion.means, project.params.gate)), counts


def write_gate(project: Project, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Write plots/gate.csv and gate.json; both are empty where no system asks the gate.

    gate.csv has the shares of the users with valid rows, over each parameter of the gate; gate.json the
    counts of decisions, and AUC and UAUC of each way on a sample of valid rows with paired differences to
    `averaged`. No test label is read.

    Args:
        project: whose gate and systems.
        names: of the systems that are evaluated.
        seed: of the sample and of the bootstrap.

    Returns:
        Facts: the seconds of each way's scoring.

    Raises:
        ModelError: a part can't be used.
    """
    layout, params, data = project.layout, project.params, project.data
    name, rows = fused(names), data.rows("valid")
    if name is None or not len(rows):
        write_csv(layout.plot("gate"), COLUMNS, [])
        write_json(layout.gate, {})
        return {}
    system: Any = project.system(name)
    curve, decisions = decided(project)
    write_csv(layout.plot("gate"), COLUMNS, curve)
    plan = gate_scoring(system, params.training.valid_rows, seed)
    fusion, seconds, scores = project.fusion, {}, {}
    weights = ways(fusion.vectors.user.numpy(), fusion.means, params.gate)
    for way in WAYS:
        own = plan.student
        student = Student(own.backbone, own.bank, torch.from_numpy(weights[way]), own.projector, own.vectors)
        score(student, own.backbone, plan.asked.first(), plan.size, plan.kind)  # warm-up
        start = time.perf_counter()
        scores[way] = score(student, own.backbone, plan.asked, plan.size, plan.kind, f"evaluate: gate, {way}")
        seconds[way] = round(time.perf_counter() - start, 3)
    effect = _effect(data, plan.candidates.rows, scores, params.evaluate.bootstrap_draws, seed)
    header = {
        "system": name,
        "protocol": params.evaluate.headline,
        "configured": configured(params.gate, len(fusion.means)),
        "decisions": decisions,
    }
    write_json(layout.gate, header | effect)
    return {"gate_seconds": seconds}


def _effect(
    data: Interactions, rows: np.ndarray, scores: dict[str, np.ndarray], draws: int, seed: int
) -> dict[str, Any]:
    """Return rows, users, metrics of each way, and their paired differences to `averaged`."""
    columns = ("user_id", "item_id", "position", "label", "split", "not_cold")
    own = {name: getattr(data, name)[rows] for name in columns}
    systems = {way: Predictions(**own, score=found) for way, found in scores.items()}
    evaluation = evaluate_slices(systems, draws, seed, ("valid",))
    ranking, drawn = evaluation.ranking["valid"], evaluation.draws["valid"]
    metrics, differences = {}, {}
    for way in scores:
        found = evaluation.metrics[way]["valid"]
        metrics[way] = {key: each for key, each in found.items() if key.split("_")[0] in _METRICS}
        if way != "averaged":
            paired = paired_difference(ranking[way], ranking["averaged"], drawn[way], drawn["averaged"])
            differences[way] = {
                metric: {key: rounded(each) for key, each in paired[metric].items()} for metric in _METRICS
            }
    users = len(np.unique(own["user_id"]))
    return {"rows": len(rows), "users": users, "effect": metrics, "differences": differences}

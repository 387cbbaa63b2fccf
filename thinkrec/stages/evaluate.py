"""Stage evaluate: score every system, measure it, generate reasons, write the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ConfigError
from thinkrec.files import whole
from thinkrec.layout import Layout, require, require_encoder
from thinkrec.stages.assemble import Fusion, load_fusion, load_student
from thinkrec.stages.writer import make_writer

if TYPE_CHECKING:
    from thinkrec.llm.backbone import Backbone
    from thinkrec.llm.student import Student
    from thinkrec.reports.page import SampleReason

PROBE = 32  # rows on which every adapter must prove that it is applied
SAMPLES = 8  # reasons that the page shows


def score_system(
    layout: Layout,
    params: Params,
    data: Interactions,
    rows: np.ndarray,
    parts: tuple[Backbone, Fusion],
    name: str,
) -> np.ndarray:
    """Score `rows` by one of the language model's systems, [n] float32.

    Raises:
        ModelError: a part can't be read, does not fit, or changes no score.
    """
    from thinkrec.llm.examples import score_examples_of
    from thinkrec.llm.scorer import check_applied, score_examples
    from thinkrec.llm.student import Student
    from thinkrec.llm.systems import SYSTEMS

    loaded, fusion = parts
    system, kind = SYSTEMS[name], params.global_.loss.score
    student = load_student(layout, loaded, fusion, system)
    writer = make_writer(layout, loaded, params.prompt, system.vectors)
    examples = score_examples_of(writer, data, rows)
    found = score_examples(
        student, loaded, examples, params.evaluate.batch_size, kind, show=f"scoring {name}"
    )
    if system.adapters != "none":
        bare = Student(loaded, projector=student.projector, vectors=student.vectors)
        probe = score_examples(bare, loaded, examples[:PROBE], params.evaluate.batch_size, kind)
        check_applied(found[:PROBE], probe, f"the adapter of {name}")
    return found


def all_scores(
    layout: Layout, params: Params, data: Interactions, rows: np.ndarray, parts: tuple[Backbone, Fusion]
) -> dict[str, np.ndarray]:
    """Scores of every system named in `evaluate.systems`.

    Raises:
        ConfigError: a name is neither an encoder nor a system.
        MissingInputError: an encoder was not trained.
    """
    from thinkrec.cf.folder import score
    from thinkrec.llm.systems import SYSTEMS

    found = {}
    for name in params.evaluate.systems:
        if name in SYSTEMS:
            found[name] = score_system(layout, params, data, rows, parts, name)
        elif name in params.cf.models:
            require_encoder(layout, name)
            found[name] = score(layout.encoder(name), data, rows, params.prompt.history)
        else:
            known = ", ".join([*params.cf.models, *SYSTEMS])
            raise ConfigError(f"evaluate.systems: no system is called {name!r}; there are {known}")
    return found


def give_reasons(
    layout: Layout, params: Params, data: Interactions, parts: tuple[Backbone, Fusion], seed: int
) -> tuple[dict[str, Any], list[SampleReason]]:
    """Generate reasons on the test rows that have a reference; write reasons.jsonl.

    Returns:
        The text metrics of thinkrec's reasons, and the first of them for the page.
    """
    from thinkrec.llm.examples import Rationales, score_examples_of
    from thinkrec.llm.generate import generate_reasons
    from thinkrec.llm.scorer import score_examples
    from thinkrec.llm.systems import SYSTEMS
    from thinkrec.metrics.text import text_metrics
    from thinkrec.reports.page import SampleReason

    loaded, fusion = parts
    references, options = Rationales.load(layout, data, "test"), params.evaluate
    rows, texts = references.rows[: options.reasons], references.texts[: options.reasons]
    student: Student = load_student(layout, loaded, fusion, SYSTEMS["thinkrec"])
    examples = score_examples_of(make_writer(layout, loaded, params.prompt, vectors=True), data, rows)
    scored = score_examples(student, loaded, examples, options.batch_size, params.global_.loss.score)
    reasons = generate_reasons(student, examples, options, seed) if len(rows) else []
    titles = Items.load(layout.items).title
    samples = [
        SampleReason(
            "thinkrec", int(data.user_id[row]), titles[data.item_id[row]], int(data.label[row]), *said
        )
        for row, *said in zip(rows, scored.tolist(), reasons, texts, strict=True)
    ]
    with whole(layout.reasons) as beside, beside.open("w", encoding="utf-8") as file:
        for row, sample in zip(rows, samples, strict=True):
            place = {"item_id": int(data.item_id[row]), "position": int(data.position[row])}
            file.write(json.dumps(vars(sample) | place, ensure_ascii=False) + "\n")
    if not reasons:
        return {}, []
    measured = text_metrics(texts, reasons, data.user_id[rows], options.bootstrap_draws, seed)
    return {"thinkrec": measured}, samples[:SAMPLES]


def evaluate(layout: Layout, params: Params, seed: int) -> dict[str, Any]:
    """Write predictions, metrics.json, differences.json, reasons.jsonl, plots and the report.

    Returns:
        Facts: the gate's decisions, and AUC and UAUC on test of each system.

    Raises:
        MissingInputError: a stage before was not run.
        ModelError: a part does not fit or is not applied.
    """
    require(layout, "interactions", "items", "keywords", "rationales", "backbone", "clusters")
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.reports.page import write_page
    from thinkrec.reports.results import write_results

    data = Interactions.load(layout.interactions)
    rows = np.concatenate([data.rows("valid"), data.rows("test")])
    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.evaluate.gate)
    scores = {
        name: (rows, found)
        for name, found in all_scores(layout, params, data, rows, (loaded, fusion)).items()
    }
    reasons: dict[str, Any] = {}
    samples: list[SampleReason] = []
    if "thinkrec" in scores:
        reasons, samples = give_reasons(layout, params, data, (loaded, fusion), seed)
    reference = "thinkrec" if "thinkrec" in scores else None
    results = write_results(layout, data, scores, params.evaluate.bootstrap_draws, seed, reference, reasons)
    facts: dict[str, Any] = {f"users_{kind}": count for kind, count in fusion.kinds.items()}
    shown = {
        "backbone": loaded.name,
        "history": params.prompt.history,
        "score": params.global_.loss.score,
        **facts,
    }
    write_page(layout, results, shown, samples)
    for name in scores:
        entry = results.metrics[name]["test"]
        facts[name] = {"test_auc": entry["auc"], "test_uauc": entry["uauc"]}
    return facts

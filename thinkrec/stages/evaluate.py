"""Stage evaluate: score every system, measure it, generate reasons, write the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkrec.config.sections import Params
from thinkrec.data.tables import HistoryMode, Interactions, Items
from thinkrec.errors import ConfigError, ModelError
from thinkrec.files import read_json, whole
from thinkrec.layout import Layout, require, require_encoder
from thinkrec.stages.assemble import Fusion, load_fusion, load_student
from thinkrec.stages.global_ import sample_rows
from thinkrec.stages.writer import make_writer

if TYPE_CHECKING:
    from thinkrec.llm.backbone import Backbone
    from thinkrec.llm.plan import Scoring
    from thinkrec.reports.page import SampleReason

GBDT, GBDT_ROWS = "gbdt", ("user_id", "item_id", "position", "label")
TINY = " (made here: item texts, virtual users, and attention heads set by hand at the start)"
SAMPLES = 8  # reasons that the page shows


def scored_rows(data: Interactions) -> np.ndarray:
    """Row numbers of all rows that every system scores, [n]: valid, then test."""
    return np.concatenate([data.rows("valid"), data.rows("test")])


def plan_scoring(
    layout: Layout,
    params: Params,
    data: Interactions,
    rows: np.ndarray,
    parts: tuple[Backbone, Fusion],
    name: str,
) -> Scoring:
    """What `score_system` scores: one of the language model's systems, and the prompts of `rows`.

    Raises:
        ModelError: a part can't be read, does not fit, or changes no score.
    """
    from thinkrec.llm.examples import asked_of
    from thinkrec.llm.plan import Scoring
    from thinkrec.llm.proof import PROBE
    from thinkrec.llm.systems import SYSTEMS

    loaded, fusion = parts
    writer = make_writer(layout, loaded, params.prompt, SYSTEMS[name].vectors)
    size, kind = params.evaluate.batch_size, params.global_.loss.score
    probe = asked_of(writer, data, data.rows("test")[:PROBE])
    student = load_student(layout, loaded, fusion, name, probe, kind, params.prompt)
    return Scoring(name, student, writer, data, rows, size, kind)


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
    from thinkrec.llm.scorer import score

    plan = plan_scoring(layout, params, data, rows, parts, name)
    show = f"evaluate: scoring {name}"
    return score(plan.student, plan.student.backbone, plan.asked, plan.size, plan.kind, show=show)


def all_scores(
    layout: Layout, params: Params, data: Interactions, rows: np.ndarray, parts: tuple[Backbone, Fusion]
) -> tuple[dict[str, np.ndarray], dict[str, dict[int, np.ndarray]]]:
    """Scores of every system named in `evaluate.systems`, and of their further training seeds.

    Raises:
        ConfigError: a name is neither an encoder nor gbdt nor a system of the language model.
        MissingInputError: an encoder was not trained, or gbdt not fitted.
        ModelError: gbdt's scores are of other rows.
    """
    from thinkrec.cf.folder import score
    from thinkrec.llm.systems import SYSTEMS

    known = [*params.cf.models, GBDT, *SYSTEMS]
    for name in params.evaluate.systems:
        if name not in known:
            raise ConfigError(f"evaluate.systems: no system is called {name!r}; there are {', '.join(known)}")
        if name == GBDT:
            require(layout, "yardsticks")
        elif name not in SYSTEMS:
            require_encoder(layout, name)
    found: dict[str, np.ndarray] = {}
    others: dict[str, dict[int, np.ndarray]] = {}
    for name in params.evaluate.systems:
        if name in SYSTEMS:
            found[name] = score_system(layout, params, data, rows, parts, name)
        elif name == GBDT:
            others[name] = gbdt_columns(layout, data, rows, params.prompt.history)
            found[name] = others[name].pop(params.seed)
        else:
            mode = params.prompt.history
            found[name] = score(layout.encoder(name), data, rows, mode)
            folders = sorted(layout.encoder(name).glob("seeds/*"), key=lambda folder: int(folder.name))
            others[name] = {int(folder.name): score(folder, data, rows, mode) for folder in folders}
    return found, others


def gbdt_columns(
    layout: Layout, data: Interactions, rows: np.ndarray, mode: HistoryMode
) -> dict[int, np.ndarray]:
    """Scores of these rows by each of gbdt's seeds, [n] float32 each.

    Raises:
        ModelError: the scores are of other interactions, or of another history mode.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, again = layout.yardsticks / "gbdt.parquet", "run `thinkrec yardsticks` again"
    try:
        table, history = pq.read_table(path), read_json(layout.yardsticks / "config.json")["history"]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ModelError(f"{layout.yardsticks} can't be read ({error}); {again}") from error
    scored = np.flatnonzero(data.split > 0)
    own = (key in table.column_names for key in GBDT_ROWS)
    if not all(own) or not all(np.array_equal(table[key], getattr(data, key)[scored]) for key in GBDT_ROWS):
        raise ModelError(f"{path} was made of other interactions: {again}")
    if history != mode:
        raise ModelError(f"{path} was made with prompt.history {history}, params.yaml says {mode}: {again}")
    place = np.searchsorted(scored, rows)
    seeds = (name for name in table.column_names if name.startswith("seed_"))
    return {int(name.removeprefix("seed_")): table[name].to_numpy()[place] for name in seeds}


def plan_reasons(
    layout: Layout, params: Params, data: Interactions, parts: tuple[Backbone, Fusion], seed: int
) -> tuple[Scoring, list[str]]:
    """What `give_reasons` explains: a sample of the test rows that have a reference, and the references."""
    from thinkrec.llm.examples import Rationales

    references, most = Rationales.load(layout, data, "test"), params.evaluate.reasons
    chosen = sample_rows(np.arange(len(references.rows)), most, seed)
    plan = plan_scoring(layout, params, data, references.rows[chosen], parts, "thinkrec")
    return plan, [references.texts[k] for k in chosen]


def give_reasons(
    layout: Layout, params: Params, data: Interactions, parts: tuple[Backbone, Fusion], seed: int
) -> tuple[dict[str, Any], list[SampleReason]]:
    """Generate reasons on the test rows that have a reference; write reasons.jsonl.

    Returns:
        The text metrics of thinkrec's reasons, and the first of them for the page.
    """
    from thinkrec.llm.checkpoints import fingerprint, forget
    from thinkrec.llm.generate import generate_reasons
    from thinkrec.llm.scorer import score
    from thinkrec.metrics.text import text_metrics
    from thinkrec.reports.page import SampleReason

    options, (plan, texts) = params.evaluate, plan_reasons(layout, params, data, parts, seed)
    student, rows = plan.student, plan.rows
    scored = score(student, student.backbone, plan.asked, plan.size, plan.kind)
    inputs = [layout.interactions, layout.items, layout.keywords, layout.rationales, layout.backbone]
    inputs += [layout.global_adapter, layout.clusters, layout.experts, layout.projector]
    inputs += [layout.encoder(params.cluster.encoder)]
    key = fingerprint([options.model_dump(), params.prompt.model_dump(), seed], inputs)
    journal = layout.work("reasons") / f"{key}.jsonl"
    reasons = generate_reasons(student, plan.questions, options, seed, journal) if len(rows) else []
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
    forget(layout.work("reasons"))
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
    require(layout, "interactions", "items", "keywords", "rationales", "backbone")
    require(layout, "global_adapter", "clusters", "experts", "projector")
    from thinkrec.llm.adapter import public_name
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.reports.page import write_page
    from thinkrec.reports.results import write_results

    data = Interactions.load(layout.interactions)
    rows = scored_rows(data)
    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.evaluate.gate)
    found, others = all_scores(layout, params, data, rows, (loaded, fusion))
    scores = {name: (rows, each) for name, each in found.items()}
    seeds = {
        name: {number: (rows, each) for number, each in more.items()} for name, more in others.items() if more
    }
    reasons: dict[str, Any] = {}
    samples: list[SampleReason] = []
    if "thinkrec" not in scores:
        with whole(layout.reasons) as beside:
            beside.touch()
    else:
        reasons, samples = give_reasons(layout, params, data, (loaded, fusion), seed)
    reference = "thinkrec" if "thinkrec" in scores else None
    draws = params.evaluate.bootstrap_draws
    results = write_results(layout, data, scores, draws, seed, reference, reasons, seeds)
    facts: dict[str, Any] = {f"users_{kind}": count for kind, count in fusion.kinds.items()}
    shown = {
        "backbone": public_name(loaded.name) + (TINY if loaded.name == "tiny" else ""),
        "history": params.prompt.history,
        "score": params.global_.loss.score,
        **facts,
    }
    write_page(layout, results, shown, samples)
    for name in scores:
        entry = results.metrics[name]["test"]
        facts[name] = {"test_auc": entry["auc"], "test_uauc": entry["uauc"]}
    return facts


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `evaluate`."""
    return evaluate(layout, params, params.seed)

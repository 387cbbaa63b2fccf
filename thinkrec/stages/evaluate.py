"""Stage evaluate: score every system, measure it, generate reasons, write the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, Split, sample_rows
from thinkrec.errors import ConfigError
from thinkrec.files import read_json, whole
from thinkrec.layout import Layout, require
from thinkrec.protocols import Protocol
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.control import cheap_controls
from thinkrec.systems.parts import LANGUAGE
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System, entry, needs_of, speaker

if TYPE_CHECKING:
    from thinkrec.reports.page import Case, SampleReason
    from thinkrec.systems.language import LanguageModel

SAMPLES = 8  # reasons that the page shows


def scored_rows(data: Interactions) -> np.ndarray:
    """Row numbers of all rows that every system scores, [n]: valid, then test."""
    return np.concatenate([data.rows("valid"), data.rows("test")])


def explained(project: Project, seed: int) -> tuple[Candidates, list[str]]:
    """A sample of the test rows that have a teacher's rationale, and these."""
    from thinkrec.llm.examples import Rationales

    data, most = project.data, project.params.evaluate.reasons
    references = Rationales.load(project.layout, data, "test")
    chosen = sample_rows(np.arange(len(references.rows)), most, seed)
    asked = Candidates.of_rows(data, references.rows[chosen], project.params.evaluate.headline)
    return asked, [references.texts[k] for k in chosen]


def give_reasons(
    project: Project, system: LanguageModel, scores: np.ndarray, seed: int
) -> list[SampleReason]:
    """Generate a system's reasons on the test rows that have a reference, in their order.

    Args:
        project: its data and parameters.
        system: who speaks.
        scores: its own of `scored_rows`, under the headline's protocol, [n].
        seed: of the sample and of the generation.
    """
    from thinkrec.artifacts.resume import work_key
    from thinkrec.reports.page import SampleReason

    layout, params, data = project.layout, project.params, project.data
    options, (asked, texts) = params.evaluate, explained(project, seed)
    by_row = dict(zip(scored_rows(data).tolist(), scores.tolist(), strict=True))
    rows, own = asked.rows, np.array([by_row[row] for row in asked.rows.tolist()])
    key = work_key(layout, "evaluate", params, seed, extra_inputs=needs_of(params, [system.name]))
    journal = layout.work("reasons") / f"{key}.jsonl"
    reasons = system.reasons(asked, own, options, seed, journal) if len(rows) else []
    titles = project.items.title
    return [
        SampleReason(
            system.name, int(data.user_id[row]), titles[data.item_id[row]], int(data.label[row]), *texts_of
        )
        for row, *texts_of in zip(rows, own.tolist(), reasons, texts, strict=True)
    ]


def measure_reasons(project: Project, said: Sequence[SampleReason], seed: int) -> dict[str, Any]:
    """Write reasons.jsonl, and measure the reasons of all systems beside floors and the teacher asked twice.

    Args:
        project: whose systems spoke.
        said: reasons of each system, one system after the other, all on the rows of `explained`.
        seed: of the bootstrap.
    """
    from thinkrec.llm.checkpoints import forget
    from thinkrec.reports.reasons import reason_metrics, spoken_of

    layout, data = project.layout, project.data
    asked, texts = explained(project, seed) if said else (None, [])
    rows = np.empty(0, dtype=np.int64) if asked is None else asked.rows
    lines = []
    for k, sample in enumerate(said):
        row = rows[k % len(rows)]
        place = {"item_id": int(data.item_id[row]), "position": int(data.position[row])}
        lines.append(vars(sample) | place)
    with whole(layout.reasons) as beside, beside.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    forget(layout.work("reasons"))
    return reason_metrics(layout, data, project.params, rows, texts, spoken_of(lines), seed)


def score_under(
    protocols: Iterable[Protocol], system: System, data: Interactions, rows: np.ndarray, name: str
) -> dict[Protocol, np.ndarray]:
    """Score rows under each protocol, [n] each; a system that reads no history is asked once."""
    from thinkrec.systems.language import LanguageModel

    found: dict[Protocol, np.ndarray] = {}
    for protocol in protocols:
        if found and system.history_length == 0:
            found[protocol] = next(iter(found.values()))
            continue
        asked = Candidates.of_rows(data, rows, protocol)
        if isinstance(system, LanguageModel):
            found[protocol] = system.score(asked, show=f"evaluate: scoring {name}, {protocol}")
        else:
            found[protocol] = system.score(asked)
    return found


def evaluate(layout: Layout, params: Params, seed: int) -> dict[str, Any]:
    """Write predictions, metrics.json, differences.json, gate.json, reasons.jsonl, plots and the report.

    Only what the systems in `evaluate.systems` need has to be there.

    Returns:
        Facts: the gate's decisions, and the seconds that scoring takes with and without fusion, where a
            system asks it; AUC and UAUC on test of each system and protocol.

    Raises:
        ConfigError: the registry has no system of a name.
        MissingInputError: a stage before was not run.
        ModelError: a part does not fit or is not applied.
    """
    names: Sequence[str] = params.named(params.evaluate.systems)
    if not names:
        raise ConfigError("evaluate.systems: names groups that are empty; name a system, or list variants")
    for name in names:
        entry(name, "evaluate.systems")
    require(layout, "interactions", "items", *needs_of(params, names))
    from thinkrec.reports.gate import write_gate
    from thinkrec.reports.page import runs_of, write_page
    from thinkrec.reports.results import Scores, write_results

    variants = {LANGUAGE[name].variant for name in names if name in LANGUAGE}
    runs = runs_of(layout, variants)  # reports damage before anything costs time
    project = Project(layout, params)
    data, rows = project.data, scored_rows(project.data)
    speaking = speaker(names)
    scores = {protocol: Scores({}) for protocol in params.evaluate.protocols}
    said: list[SampleReason] = []
    for name in names:
        system: Any = project.system(name)
        trained = {params.seed: system, **system.seeds()}
        for number, each in trained.items():
            shown = name if each is system else f"{name}, seed {number}"
            by_protocol = score_under(scores, each, data, rows, shown)
            for protocol, found in by_protocol.items():
                if each is system:
                    scores[protocol].systems[name] = rows, found
                else:
                    scores[protocol].seeds.setdefault(name, {})[number] = rows, found
        if SYSTEMS[name].reasons:
            said += give_reasons(project, system, scores[params.evaluate.headline].systems[name][1], seed)
    reasons = measure_reasons(project, said, seed)
    samples = [each for each in said if each.system == speaking][:SAMPLES]
    draws = params.evaluate.bootstrap_draws
    controls = cheap_controls(project, names, scores)
    results = write_results(layout, data, scores, draws, seed, speaking, reasons, controls)
    gated = _gated(project, names)
    facts = gated | write_gate(project, names, seed)
    write_page(layout, results, {**_about(project, names), **gated}, _cases(project, samples, seed), runs)
    for name in names:
        facts[name] = {
            protocol: {key: each.metrics[name]["test"][key] for key in ("auc", "uauc")}
            for protocol, each in results.by_protocol.items()
        }
    return facts


def _cases(project: Project, samples: Sequence[SampleReason], seed: int) -> list[Case]:
    """What the sampled reasons rest on: the prompt's history, the gate's decision, whether there was a hint.

    Args:
        project: whose system spoke.
        samples: the first ones of a system, on the first rows of `explained`.
        seed: of that sample.
    """
    if not samples:
        return []
    import pyarrow.parquet as pq

    from thinkrec.experts.gate import Kind
    from thinkrec.reports.page import Case

    layout, data, options = project.layout, project.data, project.params.prompt
    rows = explained(project, seed)[0].rows[: len(samples)]
    table = pq.read_table(layout.rationales, columns=["user_id", "position", "hinted"]).to_pylist()
    hinted = {(row["user_id"], row["position"]): row["hinted"] for row in table}
    decisions: list[str | None] = [None] * len(rows)
    if "clusters" in SYSTEMS[samples[0].system].needs:
        fusion = project.fusion
        kinds = fusion.decide(fusion.vectors.user[data.user_id[rows]].numpy()).kind
        decisions = [Kind(kind).name.lower() for kind in kinds]
    protocol, titles = project.params.evaluate.headline, project.items.title
    cases = []
    for sample, row, decision in zip(samples, rows, decisions, strict=True):
        shown = data.history(int(row), options.history_length, protocol, options.history_items)
        history = [(titles[data.item_id[each]], bool(data.label[each])) for each in shown]
        place = int(data.user_id[row]), int(data.position[row])
        cases.append(Case(**vars(sample), history=history, decision=decision, hinted=hinted.get(place)))
    return cases


def _gated(project: Project, names: Sequence[str]) -> dict[str, Any]:
    """How many users the gate decided which way, where a system asks it."""
    if not any("clusters" in SYSTEMS[name].needs for name in names):
        return {}
    return {f"users_{kind}": count for kind, count in project.fusion.kinds.items()}


def _about(project: Project, names: Sequence[str]) -> dict[str, Any]:
    """What the page says of the data, the language model and its prompts."""
    params, data = project.params, project.data
    counts = ", ".join(f"{len(data.rows(split)):,} {split}" for split in get_args(Split))
    users, items = len(np.unique(data.user_id)), len(np.unique(data.item_id))
    about = {"rows": counts, "users": users, "items": items, "chosen by": f"valid, {params.choose_by}"}
    if not any(SYSTEMS[name].kind == "language model" for name in names):
        return about
    from thinkrec.llm.adapter import public_name

    model = read_json(project.layout.backbone / "backbone.json")["model"]
    name = public_name(model)
    return {**about, "backbone": name, "score": params.loss.score}


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `evaluate`."""
    return evaluate(layout, params, params.seed)

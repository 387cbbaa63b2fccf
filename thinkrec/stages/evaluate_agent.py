"""Stage evaluate-agent: everybody ranks the same candidates; one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from thinkrec.config.agent import EvaluateAgent, Subset
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json, whole, write_json
from thinkrec.layout import Layout, require, require_encoder
from thinkrec.stages.agent import load_agent_backbone, load_knowledge, setting_of

if TYPE_CHECKING:
    from thinkrec.agent.cases import Case
    from thinkrec.agent.knowledge import Knowledge
    from thinkrec.agent.rollout import Model, Trajectory

ENCODED = ("mf", "sasrec")
COUNTED = ("popularity", "recent_popularity", "item_mean")
THINKREC = (
    "backbone", "global_adapter", "clusters", "experts", "projector", "rationales",
)  # fmt: skip
TRAINED = {"grpo": "agent_grpo", "sft": "agent_sft"}
"""Systems with an adapter, the last trained first, and where it lies."""


@dataclass(frozen=True)
class Run:
    """One system's episodes to be run.

    Args:
        system: name in the table.
        adapter: the artifact of its adapter, or "" for the bare backbone.
        tools: that it may call.
        told: tools whose answers it is told at once.
        order: seed of another order of the candidates; 0 keeps the stored one.
        temperature: of the sampling; 0 takes the likeliest token.
    """

    system: str
    adapter: str
    tools: tuple[str, ...]
    told: tuple[str, ...] = ()
    order: int = 0
    temperature: float = 0.0


def runs_of(params: Params) -> list[Run]:
    """Episodes to be run for the systems named, the ablations and the orders."""
    from thinkrec.agent.environment import TOOLS

    every, own = tuple(TOOLS), params.evaluate_agent
    fixed = {
        "no_tools": Run("no_tools", "", ()),
        "fixed_tools": Run("fixed_tools", "", (), every),
        "untrained": Run("untrained", "", every),
        **{name: Run(name, adapter, every) for name, adapter in TRAINED.items()},
    }
    found = [fixed[name] for name in own.systems if name in fixed]
    if own.sampled:
        found += [
            replace(fixed[name], system=f"{name} sampled", temperature=own.sampled)
            for name in reversed(TRAINED)
            if name in own.systems
        ]
    trained = next((name for name in TRAINED if name in own.systems), None)
    if trained is None:
        return found
    adapter = TRAINED[trained]
    if own.without_tools:
        for off in every:
            found.append(Run(f"{trained} without {off}", adapter, tuple(n for n in every if n != off)))
        found.append(Run(f"{trained} without tools", adapter, ()))
    found += [Run(f"{trained} order {k}", adapter, every, order=k) for k in range(1, own.orders)]
    return found


def play_runs(
    layout: Layout, params: Params, knowledge: Knowledge, cases: Sequence[Case], seed: int
) -> dict[str, list[Trajectory]]:
    """Run all episodes, adapter by adapter; those of a run that was cut off are taken from its journal."""
    from thinkrec.agent.rollout import roll_out
    from thinkrec.llm.checkpoints import fingerprint
    from thinkrec.stages.agent import inputs

    own, options = params.evaluate_agent, params.agent
    runs = runs_of(params)
    found: dict[str, list[Trajectory]] = {}
    if "scripted" in own.systems:
        runs.append(Run("scripted", "scripted", setting_of(knowledge, options, cases).tools))
    for adapter in dict.fromkeys(run.adapter for run in runs):
        investigator = _investigator(layout, adapter, options.turn_tokens)
        for run in (each for each in runs if each.adapter == adapter):
            shown = [case.shuffled(run.order) for case in cases] if run.order else list(cases)
            setting = setting_of(knowledge, options, cases, run.tools, run.told)
            files = [*inputs(layout, options), layout.cases, layout.agent_backbone]
            files += [getattr(layout, adapter)] if adapter in TRAINED.values() else []
            key = fingerprint([options.model_dump(), own.model_dump(), vars(run), seed], files)
            journal = layout.work("evaluate-agent") / f"{key}.jsonl"
            seeds = [seed * 1_000_003 + case.number for case in cases]
            show = f"evaluate-agent: {run.system}"
            found[run.system] = roll_out(
                investigator(run), shown, setting, seeds, own.batch_size, journal, show
            )
    return found


def _investigator(layout: Layout, adapter: str, tokens: int) -> Callable[[Run], Model]:
    from thinkrec.agent.local import Local
    from thinkrec.agent.scripted import Scripted
    from thinkrec.llm.adapter import load_peft

    if adapter == "scripted":
        return lambda run: Scripted()
    backbone = load_agent_backbone(layout)
    model: Any = load_peft(backbone, getattr(layout, adapter)) if adapter else backbone.model
    model.eval()
    return lambda run: Local(model, backbone.tokenizer, run.system, run.temperature, tokens)


def scored_ranks(
    layout: Layout, params: Params, data: Interactions, knowledge: Knowledge, cases: Sequence[Case]
) -> dict[str, np.ndarray]:
    """Best and worst ranks of the held-out items among ties, [n, 2], by the systems that only score."""
    from thinkrec.agent.ranking import asked_instead, candidates_of, counting_scores, ranks
    from thinkrec.cf.folder import score

    named: set[str] = set(params.evaluate_agent.systems)
    found: dict[str, np.ndarray] = {}
    counted = counting_scores(knowledge, cases, params.agent.recent_days)
    found |= {name: ranks(counted[name], cases) for name in COUNTED if name in named}
    rows = np.array([case.row for case in cases])
    places = range(len(cases[0].items))
    for name in (each for each in ENCODED if each in named):
        columns = [
            score(layout.encoder(name), asked_instead(data, cases, k), rows, params.prompt.history)
            for k in places
        ]
        found[name] = ranks(np.stack(columns, axis=1), cases)
    if "thinkrec" in named:
        scores = thinkrec_scores(layout, params, data, rows, candidates_of(cases))
        found["thinkrec"] = ranks(scores, cases)
    return found


def thinkrec_scores(
    layout: Layout, params: Params, data: Interactions, rows: np.ndarray, items: np.ndarray
) -> np.ndarray:
    """ThinkRec's own scores of candidates [n, K] at the moments of `rows` [n]: [n, K] float32."""
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.examples import asked_of
    from thinkrec.llm.scorer import score
    from thinkrec.stages.assemble import load_fusion
    from thinkrec.stages.evaluate import plan_scoring

    loaded = load_backbone(layout.backbone)
    fusion = load_fusion(layout, params.cluster.encoder, params.evaluate.gate)
    plan = plan_scoring(layout, params, data, rows, (loaded, fusion), "thinkrec")
    asked = asked_of(plan.writer, data, np.repeat(rows, items.shape[1]), items.ravel())
    found = score(plan.student, loaded, asked, plan.size, plan.kind, show="evaluate-agent: scoring thinkrec")
    return found.reshape(items.shape)


def evaluate_agent(layout: Layout, params: Params, seed: int) -> dict[str, Any]:
    """Write agent.json, ranks, episodes and the agent's report.

    Returns:
        Facts: NDCG@10 of each system, valid answers and calls of the agents.

    Raises:
        MissingInputError: a stage before was not run.
        ModelError: a part does not fit.
    """
    from thinkrec.agent.cases import load_cases
    from thinkrec.llm.checkpoints import forget
    from thinkrec.prompts.guard import Guard
    from thinkrec.reports.agent import write_agent_page

    own = params.evaluate_agent
    require(layout, *(place for name, place in TRAINED.items() if name in own.systems))
    for encoder in ENCODED:
        if encoder in own.systems:
            require_encoder(layout, encoder)
    if "thinkrec" in own.systems:
        require(layout, *THINKREC)
    data = Interactions.load(layout.interactions)
    cases = load_cases(layout.cases, data, "test")
    tokenizer = load_agent_backbone(layout).tokenizer
    knowledge = load_knowledge(layout, data, params.agent, Guard(tokenizer))
    found = scored_ranks(layout, params, data, knowledge, cases)
    played = play_runs(layout, params, knowledge, cases, seed)
    found |= {name: np.array([[each.rank] * 2 for each in all_]) for name, all_ in played.items()}
    metrics = {
        subset: _compared(found, played, np.array([subset in case.subsets for case in cases]), own, seed)
        for subset in get_args(Subset)
    }
    _save(layout, cases, found, played)
    write_json(layout.agent_metrics, metrics)
    write_agent_page(layout, metrics, _about(layout, params, data, cases))
    forget(layout.work("evaluate-agent"))
    return {name: _short(entry) for name, entry in metrics["all"].items()}


def _compared(
    found: dict[str, np.ndarray],
    played: dict[str, list[Trajectory]],
    members: np.ndarray,
    own: EvaluateAgent,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Every system's measures among some cases [n] bool, and how far the trained agent is ahead of it."""
    from thinkrec.agent.ranking import Measures, difference

    measured = {name: Measures.of(rank).among(members) for name, rank in found.items()}
    metrics = {name: each.entry(own.bootstrap_draws, seed) for name, each in measured.items()}
    for name, all_ in played.items():
        metrics[name] |= agent_facts([each for each, inside in zip(all_, members, strict=True) if inside])
    trained = next((name for name in TRAINED if name in own.systems), None)
    for name in metrics if trained else ():
        pair = (measured[str(trained)].values["ndcg@10"], measured[name].values["ndcg@10"])
        metrics[name][f"{trained}_ahead_by"] = difference(*pair, own.bootstrap_draws, seed)
    return metrics


def agent_facts(episodes: Sequence[Trajectory]) -> dict[str, Any]:
    """What an agent's episodes cost, on average, and how well-formed they are."""
    names = {name for each in episodes for name in each.calls}
    calls = {name: round(float(np.mean([each.calls.get(name, 0) for each in episodes])), 3) for name in names}
    return {
        "valid": round(float(np.mean([each.valid for each in episodes])), 4),
        "forced": round(float(np.mean([each.forced for each in episodes])), 4),
        "completed": round(float(np.mean([each.completed for each in episodes])), 4),
        "calls": round(sum(calls.values()), 3),
        "calls_by_tool": dict(sorted(calls.items())),
        "failed_calls": round(float(np.mean([each.errors for each in episodes])), 4),
        "tokens_read": round(float(np.mean([each.read for each in episodes])), 1),
        "tokens_said": round(float(np.mean([each.said for each in episodes])), 1),
        "seconds": round(float(np.mean([each.seconds for each in episodes])), 4),
        **{f"reward_{name}": round(float(np.mean([each.rewards[name] for each in episodes])), 4)
           for name in episodes[0].rewards},
    }  # fmt: skip


def _about(layout: Layout, params: Params, data: Interactions, cases: Sequence[Case]) -> dict[str, Any]:
    noted = read_json(layout.agent_backbone / "backbone.json")
    rows = np.array([case.row for case in cases])
    same = (data.position[rows] > 0) & (data.timestamp[rows - 1] == data.timestamp[rows])
    return {
        "dataset": layout.dataset, "backbone": noted["model"], "candidates": len(cases[0].items),
        "seed": params.seed, "same_moment": int(same.sum()), "sampled": params.evaluate_agent.sampled,
    }  # fmt: skip


def _short(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("ndcg@10", "valid", "calls") if key in entry}


def _save(
    layout: Layout,
    cases: Sequence[Case],
    found: dict[str, np.ndarray],
    played: dict[str, list[Trajectory]],
) -> None:
    """Write everybody's ranks and the agents' episodes, as one folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from thinkrec.agent.rollout import written

    count = len(cases)
    table = pa.table({
        "system": pa.array([name for name in found for _ in range(count)]),
        "number": pa.array([case.number for case in cases] * len(found), pa.int32()),
        "user_id": pa.array([case.user for case in cases] * len(found), pa.int32()),
        "rank": pa.array(np.concatenate(list(found.values()))[:, 0], pa.int32()),
        "worst_rank": pa.array(np.concatenate(list(found.values()))[:, 1], pa.int32()),
    })  # fmt: skip
    with whole(layout.agent_results) as folder:
        episodes = folder / layout.episodes("").parent.relative_to(layout.agent_results)
        episodes.mkdir(parents=True)
        pq.write_table(table, folder / layout.agent_ranks.name)
        for name, all_ in played.items():
            lines = (f"{written(each)}\n" for each in all_)
            (episodes / layout.episodes(name).name).write_text("".join(lines), encoding="utf-8")


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `evaluate-agent`."""
    return evaluate_agent(layout, params, params.seed)

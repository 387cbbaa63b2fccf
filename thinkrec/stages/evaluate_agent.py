"""Stage evaluate-agent: everybody ranks the same candidates; one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from thinkrec.config.agent import Subset
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json, whole, write_json
from thinkrec.layout import Layout, require
from thinkrec.protocols import Protocol
from thinkrec.systems.project import Project
from thinkrec.systems.registry import needs_of

if TYPE_CHECKING:
    from thinkrec.agent.cases import Case
    from thinkrec.agent.comparison import Run
    from thinkrec.agent.knowledge import Knowledge
    from thinkrec.agent.rollout import Model, Trajectory


def play_runs(
    layout: Layout, params: Params, knowledge: Knowledge, cases: Mapping[Protocol, list[Case]], seed: int
) -> dict[Protocol, dict[str, list[Trajectory]]]:
    """Run all episodes, adapter by adapter; those of a run that was cut off are taken from its journal.

    Args:
        layout: where adapters and journals lie.
        params: budgets and systems.
        knowledge: behind the tools.
        cases: the same cases at the moments of each protocol.
        seed: of the sampling.
    """
    from thinkrec.agent.comparison import Run, runs_of
    from thinkrec.agent.load import setting_of
    from thinkrec.agent.rollout import roll_out
    from thinkrec.artifacts.resume import work_key

    own, options = params.evaluate_agent, params.agent
    runs = runs_of(own)
    episodes: dict[Protocol, dict[str, list[Trajectory]]] = {protocol: {} for protocol in cases}
    headline = next(iter(cases))
    if "scripted" in own.systems:
        runs.append(Run("scripted", "scripted", setting_of(knowledge, options, cases[headline]).tools))
    for adapter in dict.fromkeys(run.adapter for run in runs):
        investigator = _investigator(layout, adapter, options.max_turn_tokens)
        asked = [(run, protocol) for run in runs if run.adapter == adapter for protocol in cases]
        for run, protocol in asked:
            if run.headline_only and protocol != headline:
                continue
            shown = [case.shuffled(run.order) if run.order else case for case in cases[protocol]]
            known = knowledge.under(protocol, "test")
            setting = setting_of(known, options, shown, run.tools, run.prefetched)
            deciding = ("agent", "evaluate-agent")
            key = work_key(layout, "evaluate-agent", params, vars(run), protocol, seed, keys=deciding)
            journal = layout.work("evaluate-agent") / f"{key}.jsonl"
            seeds = [seed * 1_000_003 + case.number for case in shown]
            show = f"evaluate-agent: {run.system}, {protocol}"
            episodes[protocol][run.system] = roll_out(
                investigator(run), shown, setting, seeds, own.batch_size, journal, show
            )
    return episodes


def _investigator(layout: Layout, adapter: str, tokens: int) -> Callable[[Run], Model]:
    from thinkrec.agent.load import load_agent_backbone
    from thinkrec.agent.local import Local
    from thinkrec.agent.scripted import Scripted
    from thinkrec.llm.adapter import load_peft

    if adapter == "scripted":
        return lambda run: Scripted()
    backbone = load_agent_backbone(layout)
    model: Any = load_peft(backbone, getattr(layout, adapter)) if adapter else backbone.model
    model.eval()
    return lambda run: Local(model, backbone.tokenizer, run.system, run.temperature, tokens)


def evaluate_agent(layout: Layout, params: Params, seed: int) -> dict[str, Any]:
    """Write agent.json, ranks, episodes and the agent's report.

    Returns:
        Facts: by protocol NDCG@10 of each system, valid answers and calls of the agents.

    Raises:
        MissingInputError: a stage before was not run.
        ModelError: a part does not fit.
    """
    from thinkrec.agent.cases import load_cases
    from thinkrec.agent.comparison import TRAINED, compared, scored_ranks, scoring_names
    from thinkrec.agent.load import load_agent_backbone, load_knowledge
    from thinkrec.llm.checkpoints import forget
    from thinkrec.prompts.guard import Guard
    from thinkrec.reports.agent import write_agent_page

    own, project = params.evaluate_agent, Project(layout, params)
    require(layout, *(place for name, place in TRAINED.items() if name in own.systems))
    require(layout, *needs_of(params, scoring_names(own)))
    data = project.data
    cases = load_cases(layout.cases, data, "test")
    tokenizer = load_agent_backbone(layout).tokenizer
    knowledge = load_knowledge(layout, data, params.agent, Guard(tokenizer))
    asked = {
        protocol: [case.under(protocol, data) for case in cases] for protocol in params.evaluate.protocols
    }
    ranks = {
        each: scored_ranks(project, knowledge.under(each, "test"), asked[each], own, each) for each in asked
    }
    played = play_runs(layout, params, knowledge, asked, seed)
    for protocol, by_system in played.items():
        ranks[protocol] |= {
            name: np.array([[each.rank] * 2 for each in all_]) for name, all_ in by_system.items()
        }
    members = {name: np.array([name in case.subsets for case in cases]) for name in get_args(Subset)}
    metrics: dict[str, Any] = {
        protocol: {
            subset: compared(ranks[protocol], played[protocol], inside, own, seed)
            for subset, inside in members.items()
        }
        for protocol in asked
    }
    _save(layout, cases, ranks, played)
    write_json(layout.agent_metrics, metrics)
    write_agent_page(layout, metrics, _about(layout, params, data, cases))
    forget(layout.work("evaluate-agent"))
    return {
        protocol: {name: _short(entry) for name, entry in each["all"].items()}
        for protocol, each in metrics.items()
    }


def _about(layout: Layout, params: Params, data: Interactions, cases: Sequence[Case]) -> dict[str, Any]:
    noted = read_json(layout.agent_backbone / "backbone.json")
    rows = np.array([case.row for case in cases])
    same = (data.position[rows] > 0) & (data.timestamp[rows - 1] == data.timestamp[rows])
    return {
        "dataset": layout.dataset, "backbone": noted["model"], "candidates": len(cases[0].items),
        "seed": params.seed, "same_moment": int(same.sum()),
        "sampled": params.evaluate_agent.sampling_temperature,
    }  # fmt: skip


def _short(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("ndcg@10", "valid", "calls") if key in entry}


def _save(
    layout: Layout,
    cases: Sequence[Case],
    ranks: dict[Protocol, dict[str, np.ndarray]],
    played: dict[Protocol, dict[str, list[Trajectory]]],
) -> None:
    """Write everybody's ranks and the agents' episodes, as one folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from thinkrec.agent.rollout import written

    names = [(protocol, name) for protocol, by_system in ranks.items() for name in by_system]
    every = np.concatenate([ranks[protocol][name] for protocol, name in names])
    table = pa.table({
        "protocol": pa.array([protocol for protocol, _ in names for _ in cases]),
        "system": pa.array([name for _, name in names for _ in cases]),
        "number": pa.array([case.number for case in cases] * len(names), pa.int32()),
        "user_id": pa.array([case.user for case in cases] * len(names), pa.int32()),
        "rank": pa.array(every[:, 0], pa.int32()),
        "worst_rank": pa.array(every[:, 1], pa.int32()),
    })  # fmt: skip
    with whole(layout.agent_results) as folder:
        folder.mkdir()
        pq.write_table(table, folder / layout.agent_ranks.name)
        for protocol, by_system in played.items():
            for name, all_ in by_system.items():
                path = folder / layout.episodes(protocol, name).relative_to(layout.agent_results)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{written(each)}\n" for each in all_), encoding="utf-8")


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `evaluate-agent`."""
    return evaluate_agent(layout, params, params.seed)

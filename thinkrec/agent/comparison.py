"""Comparison on the same candidates: the agent's episodes to run, and the ranks of scoring systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from thinkrec.agent.cases import Case
from thinkrec.agent.environment import TOOLS
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.ranking import Measures, candidates_of, counting_scores, difference, ranks
from thinkrec.agent.rollout import Trajectory
from thinkrec.config.agent import EvaluateAgent
from thinkrec.config.names import Counted
from thinkrec.protocols import Protocol
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS

TRAINED = {"grpo": "agent_grpo", "sft": "agent_sft"}
"""Agents with an adapter, the last trained first, and the artifact of the adapter."""


@dataclass(frozen=True)
class Run:
    """The episodes of one system.

    Args:
        system: name in the table.
        adapter: the artifact of its adapter, or "" for the bare backbone.
        tools: tools that it may call.
        prefetched: tools whose answers its first message contains.
        order: seed of another order of the candidates; 0 keeps the stored order.
        temperature: of the sampling; 0 decodes greedily.
        headline_only: it is run under the first protocol alone.
    """

    system: str
    adapter: str
    tools: tuple[str, ...]
    prefetched: tuple[str, ...] = ()
    order: int = 0
    temperature: float = 0.0
    headline_only: bool = False


def runs_of(own: EvaluateAgent) -> list[Run]:
    """Return the runs of the configured systems, their ablations and other orders of the candidates."""
    every = tuple(TOOLS)
    fixed = {
        "no_tools": Run("no_tools", "", ()),
        "fixed_tools": Run("fixed_tools", "", (), every),
        "untrained": Run("untrained", "", every),
        **{name: Run(name, adapter, every) for name, adapter in TRAINED.items()},
    }
    runs = [fixed[name] for name in own.systems if name in fixed]
    if own.sampling_temperature:
        runs += [
            replace(
                fixed[name],
                system=f"{name} sampled",
                temperature=own.sampling_temperature,
                headline_only=True,
            )
            for name in reversed(TRAINED)
            if name in own.systems
        ]
    trained = trained_of(own)
    if trained is None:
        return runs
    further = replace(fixed[trained], headline_only=True)
    if own.without_tools:
        for off in every:
            some = tuple(name for name in every if name != off)
            runs.append(replace(further, system=f"{trained} without {off}", tools=some))
        runs.append(replace(further, system=f"{trained} without tools", tools=()))
    orders = range(1, own.orders)
    return runs + [replace(further, system=f"{trained} order {k}", order=k) for k in orders]


def trained_of(own: EvaluateAgent) -> str | None:
    """Return the last trained of the configured agents, or None."""
    return next((name for name in TRAINED if name in own.systems), None)


def counted_names(own: EvaluateAgent) -> list[str]:
    """Return the configured systems that count interactions before each case's moment."""
    return [name for name in own.systems if name in get_args(Counted)]


def scoring_names(own: EvaluateAgent) -> list[str]:
    """Return the other configured systems that only score."""
    return [name for name in own.systems if name in SYSTEMS and name not in get_args(Counted)]


def scored_ranks(
    project: Project, knowledge: Knowledge, cases: Sequence[Case], own: EvaluateAgent, protocol: Protocol
) -> dict[str, np.ndarray]:
    """Return, by scoring system, best and worst ranks of the held-out items among ties, [n, 2].

    Args:
        project: whose systems score.
        knowledge: what is counted.
        cases: at the moments of the protocol.
        own: options.
        protocol: of the histories.
    """
    counted = counting_scores(knowledge, cases, project.params.agent.recent_days)
    by_system = {name: ranks(counted[name], cases) for name in counted_names(own)}
    items = candidates_of(cases)
    # [n, K] -> [n * K]: each candidate with the row of its case.
    rows = np.repeat([case.row for case in cases], items.shape[1])
    candidates = Candidates(project.data, rows, items.ravel(), protocol)
    for name in scoring_names(own):
        scores = project.system(name).score(candidates)
        by_system[name] = ranks(scores.reshape(items.shape), cases)
    return by_system


def compared(
    ranked: dict[str, np.ndarray],
    played: dict[str, list[Trajectory]],
    members: np.ndarray,
    own: EvaluateAgent,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return every system's metrics on some cases, and the trained agent's lead over it.

    Args:
        ranked: best and worst ranks by system, [n, 2].
        played: the agents' episodes by system, n each.
        members: the cases to measure, [n] bool.
        own: options.
        seed: of the bootstrap.
    """
    measured = {name: Measures.of(rank).among(members) for name, rank in ranked.items()}
    metrics = {name: each.entry(own.bootstrap_draws, seed) for name, each in measured.items()}
    for name, all_ in played.items():
        metrics[name] |= agent_facts([each for each, inside in zip(all_, members, strict=True) if inside])
    trained = trained_of(own)
    for name in metrics if trained else ():
        pair = (measured[str(trained)].values["ndcg@10"], measured[name].values["ndcg@10"])
        metrics[name][f"{trained}_ahead_by"] = difference(*pair, own.bootstrap_draws, seed)
    return metrics


def agent_facts(episodes: Sequence[Trajectory]) -> dict[str, Any]:
    """Return the average cost of an agent's episodes, and how often they are well-formed."""
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

"""Everybody ranks the same candidates: which episodes are run, and the ranks of systems that only score."""

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
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS

TRAINED = {"grpo": "agent_grpo", "sft": "agent_sft"}
"""Agents with an adapter, the last trained first, and where it lies."""


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


def runs_of(own: EvaluateAgent) -> list[Run]:
    """Episodes to be run for the systems named, the ablations and the orders."""
    every = tuple(TOOLS)
    fixed = {
        "no_tools": Run("no_tools", "", ()),
        "fixed_tools": Run("fixed_tools", "", (), every),
        "untrained": Run("untrained", "", every),
        **{name: Run(name, adapter, every) for name, adapter in TRAINED.items()},
    }
    found = [fixed[name] for name in own.systems if name in fixed]
    if own.sampling_temperature:
        found += [
            replace(fixed[name], system=f"{name} sampled", temperature=own.sampling_temperature)
            for name in reversed(TRAINED)
            if name in own.systems
        ]
    trained = trained_of(own)
    if trained is None:
        return found
    adapter = TRAINED[trained]
    if own.without_tools:
        for off in every:
            found.append(Run(f"{trained} without {off}", adapter, tuple(n for n in every if n != off)))
        found.append(Run(f"{trained} without tools", adapter, ()))
    return found + [Run(f"{trained} order {k}", adapter, every, order=k) for k in range(1, own.orders)]


def trained_of(own: EvaluateAgent) -> str | None:
    """The agent that was trained last, of those named."""
    return next((name for name in TRAINED if name in own.systems), None)


def counted_names(own: EvaluateAgent) -> list[str]:
    """Systems named that are counted before each case's moment."""
    return [name for name in own.systems if name in get_args(Counted)]


def scoring_names(own: EvaluateAgent) -> list[str]:
    """Systems named that the registry scores by."""
    return [name for name in own.systems if name in SYSTEMS and name not in get_args(Counted)]


def scored_ranks(
    project: Project, knowledge: Knowledge, cases: Sequence[Case], own: EvaluateAgent
) -> dict[str, np.ndarray]:
    """Best and worst ranks of the held-out items among ties, [n, 2], by the systems that only score."""
    counted = counting_scores(knowledge, cases, project.params.agent.recent_days)
    found = {name: ranks(counted[name], cases) for name in counted_names(own)}
    items = candidates_of(cases)
    rows = np.repeat([case.row for case in cases], items.shape[1])
    asked = Candidates(project.data, rows, items.ravel(), project.params.prompt.history)
    for name in scoring_names(own):
        scores = project.system(name).score(asked)
        found[name] = ranks(scores.reshape(items.shape), cases)
    return found


def compared(
    found: dict[str, np.ndarray],
    played: dict[str, list[Trajectory]],
    members: np.ndarray,
    own: EvaluateAgent,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Every system's measures among some cases [n] bool, and how far the trained agent is ahead of it."""
    measured = {name: Measures.of(rank).among(members) for name, rank in found.items()}
    metrics = {name: each.entry(own.bootstrap_draws, seed) for name, each in measured.items()}
    for name, all_ in played.items():
        metrics[name] |= agent_facts([each for each, inside in zip(all_, members, strict=True) if inside])
    trained = trained_of(own)
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

"""Which trajectories are kept to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from thinkrec.agent.rollout import Trajectory
from thinkrec.config.agent import Trajectories


def why_dropped(trajectory: Trajectory, options: Trajectories) -> str:
    """Why a trajectory teaches nothing, or "": the first rule that it breaks (our choice)."""
    calls = sum(trajectory.calls.values())
    rules = {
        "no_valid_answer": not trajectory.valid,
        "failed_calls": trajectory.errors > 0,
        "order_shown": trajectory.order == tuple(range(len(trajectory.order))),  # right by chance alone
        "target_ranked_low": trajectory.rank > options.max_rank,
        "too_many_calls": calls > options.max_calls,
    }
    return next((name for name, broken in rules.items() if broken), "")


def filtered(found: Sequence[Trajectory], choices: Trajectories) -> tuple[list[Trajectory], Counter[str]]:
    """Those kept, and counts of the others; calls are wasted where the case went as well with fewer."""
    reasons = [why_dropped(each, choices) for each in found]
    well: dict[int, list[tuple[int, int]]] = {}
    for each, reason in zip(found, reasons, strict=True):
        if not reason:
            well.setdefault(each.number, []).append((each.rank, sum(each.calls.values())))
    kept, dropped, seen = [], Counter[str](), set()
    for each, reason in zip(found, reasons, strict=True):
        said, calls = (each.number, str(each.messages)), sum(each.calls.values())
        if not reason and any(rank <= each.rank and fewer < calls for rank, fewer in well[each.number]):
            reason = "calls_wasted"
        if not reason and said in seen:
            reason = "repeated"
        seen.add(said)
        if reason:
            dropped[reason] += 1
        else:
            kept.append(each)
    return kept, dropped

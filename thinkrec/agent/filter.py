"""Which trajectories are kept for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from thinkrec.agent.rollout import Trajectory
from thinkrec.config.agent import Trajectories


def why_dropped(trajectory: Trajectory, options: Trajectories) -> str:
    """Return the first rule that a trajectory breaks, or "" if it is worth training on (our choice)."""
    calls = sum(trajectory.calls.values())
    rules = {
        "no_valid_answer": not trajectory.valid,
        "failed_calls": trajectory.errors > 0,
        "order_shown": trajectory.order == tuple(range(len(trajectory.order))),  # right by chance alone
        "target_ranked_low": trajectory.rank > options.max_rank,
        "too_many_calls": calls > options.max_calls,
    }
    return next((name for name, broken in rules.items() if broken), "")


def filtered(episodes: Sequence[Trajectory], choices: Trajectories) -> tuple[list[Trajectory], Counter[str]]:
    """Return the trajectories kept, and the numbers of others by reason.

    Calls are wasted if another episode of the case does as well with fewer.
    """
    reasons = [why_dropped(each, choices) for each in episodes]
    good: dict[int, list[tuple[int, int]]] = {}
    for each, reason in zip(episodes, reasons, strict=True):
        if not reason:
            good.setdefault(each.number, []).append((each.rank, sum(each.calls.values())))
    kept, dropped, seen = [], Counter[str](), set()
    for each, reason in zip(episodes, reasons, strict=True):
        content, calls = (each.number, str(each.messages)), sum(each.calls.values())
        if not reason and any(rank <= each.rank and fewer < calls for rank, fewer in good[each.number]):
            reason = "calls_wasted"
        if not reason and content in seen:
            reason = "repeated"
        seen.add(content)
        if reason:
            dropped[reason] += 1
        else:
            kept.append(each)
    return kept, dropped

"""The three rewards of an episode, each between 0 and 1 (RecThinker: NDCG@10, format, tool efficiency)."""

from __future__ import annotations

from collections.abc import Sequence

from thinkrec.agent.dialogue import Message, malformed, read_ranking
from thinkrec.agent.environment import error_text
from thinkrec.metrics.ranking import discounts

K = 10
ERROR = error_text("")[:9]
"""Prefix of the answer to a failed call, in our loop and in TRL's."""


def ndcg(rank: int, k: int = K) -> float:
    """Return NDCG@k of one relevant item at this rank, from 1."""
    return float(discounts(k)[rank - 1]) if rank <= k else 0.0


def efficiency(calls: int, wasted: int, most: int) -> float:
    """Return 1 minus 1 / most for each call, twice that for a wasted one, but at least 0. Our choice."""
    return max(0.0, 1 - (calls + wasted) / most)


def episode_rewards(messages: Sequence[Message], letters: str, target: int, most: int) -> dict[str, float]:
    """Return the rewards of an episode by name; all are 0 without a valid answer (our choice).

    Args:
        messages: of the episode, with or without the first user message.
        letters: of the candidates.
        target: index of the held-out item.
        most: maximum number of calls per episode.
    """
    last = messages[-1] if messages else {"role": "user"}
    content = str(last.get("content") or "") if last["role"] == "assistant" else ""
    ranking = read_ranking(content, letters)
    calling = bool(last.get("tool_calls")) or malformed(content)  # TRL's loop may end with a call
    if ranking is None or not ranking.valid or calling:
        return {"ndcg": 0.0, "format": 0.0, "efficiency": 0.0}
    calls = sum(len(message.get("tool_calls") or []) for message in messages)
    wasted = sum(
        message["role"] == "tool" and str(message["content"]).startswith(ERROR) for message in messages
    )
    rank = ranking.rank(target)
    return {"ndcg": ndcg(rank), "format": 1.0, "efficiency": efficiency(calls, wasted, most)}

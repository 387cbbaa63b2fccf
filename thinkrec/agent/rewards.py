"""The three rewards of an episode, each between 0 and 1 (RecThinker: NDCG@10, format, tool efficiency)."""

from __future__ import annotations

from collections.abc import Sequence

from thinkrec.agent.dialogue import Message, malformed, read_ranking
from thinkrec.agent.environment import error_text
from thinkrec.metrics.ranking import discounts

K = 10
ERROR = error_text("")[:9]
"""How an answer begins where the call failed, in our loop and in TRL's."""


def ndcg(rank: int, k: int = K) -> float:
    """NDCG@k of one relevant item at this rank, from 1."""
    return float(discounts(k)[rank - 1]) if rank <= k else 0.0


def efficiency(calls: int, wasted: int, most: int) -> float:
    """1 without a call; each takes 1 / most, a wasted one twice that; 0 at least. Our choice."""
    return max(0.0, 1 - (calls + wasted) / most)


def episode_rewards(messages: Sequence[Message], letters: str, target: int, most: int) -> dict[str, float]:
    """Rewards of an episode: without a valid answer all of them are 0 (our choice).

    Args:
        messages: of the episode, the first user's message left out or not.
        letters: of the candidates.
        target: place of the held-out item.
        most: calls of an episode at most.
    """
    last = messages[-1] if messages else {"role": "user"}
    content = str(last.get("content") or "") if last["role"] == "assistant" else ""
    found = read_ranking(content, letters)
    calling = bool(last.get("tool_calls")) or malformed(content)  # what TRL's loop may end on
    if found is None or not found.valid or calling:
        return {"ndcg": 0.0, "format": 0.0, "efficiency": 0.0}
    calls = sum(len(message.get("tool_calls") or []) for message in messages)
    wasted = sum(
        message["role"] == "tool" and str(message["content"]).startswith(ERROR) for message in messages
    )
    rank = found.rank(target)
    return {"ndcg": ndcg(rank), "format": 1.0, "efficiency": efficiency(calls, wasted, most)}

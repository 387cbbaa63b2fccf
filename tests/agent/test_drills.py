"""What the tiny backbone learns from prefers no candidate, no place and no tool."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from agent_by_hand import edges

from thinkrec.agent.environment import LISTS
from thinkrec.agent.knowledge import Graph
from thinkrec.agent.rollout import Trajectory
from thinkrec.config.agent import Agent
from thinkrec.data.tables import Items
from thinkrec.demo.agent import BARE, PREFETCHED, Drills

ITEMS, EPISODES = 60, 600
WORDS = [f"word{k}" for k in range(12)]


@pytest.fixture(scope="module")
def drills() -> list[Trajectory]:
    rng = np.random.default_rng(0)
    places = [[], *(sorted(rng.choice(len(WORDS), 3, replace=False).tolist()) for _ in range(ITEMS))]
    keywords = [[WORDS[k] for k in each] for each in places]
    graph = Graph([f"keyword: {word}" for word in WORDS], edges(places), edges([[] for _ in places]))
    items = Items(["", *(f"Title {k}" for k in range(1, ITEMS + 1))], keywords)
    found = Drills.of(items, [""] * (ITEMS + 1), graph, Agent(), 7)
    return found.play(EPISODES, 7)


def test_orders_are_evenly_spread_over_places_and_tools(drills: list[Trajectory]) -> None:
    for tool in LISTS:
        told = [
            str(message["content"]).partition(": ")[2].split()[0]
            for each in drills
            for message in each.messages
            if message["role"] == "tool" and message["name"] == tool
        ]
        assert len(told) > 50
        assert max(Counter(told).values()) < 0.3 * len(told)


def test_target_is_no_better_than_by_chance(drills: list[Trajectory]) -> None:
    ranks = np.array([each.rank for each in drills])
    assert abs(ranks.mean() - 5.5) < 4 * np.sqrt(8.25 / len(ranks))


def test_shares(drills: list[Trajectory]) -> None:
    bare = sum(not each.calls and "get_item: " not in each.messages[0]["content"] for each in drills)
    told = sum(not each.calls and "get_item: " in each.messages[0]["content"] for each in drills)
    assert (bare, told) == (EPISODES * BARE, EPISODES * PREFETCHED)
    assert all(each.valid and not each.errors for each in drills)

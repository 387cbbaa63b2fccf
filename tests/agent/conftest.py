"""The films made by hand, as fixtures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from agent_by_hand import entered, knowing

from thinkrec.agent.environment import Environment
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.rollout import Setting
from thinkrec.config.agent import Agent


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    """What is known of the films."""
    return knowing()


@pytest.fixture
def environment(knowledge: Knowledge) -> Environment:
    """An episode of user 1 on day 100."""
    return entered(knowledge)


@pytest.fixture
def setting(knowledge: Knowledge) -> Callable[..., Setting]:
    """A function: how episodes are run with these tools."""

    def make(
        tools: Sequence[str], told: Sequence[str] = (), over: Knowledge = knowledge, **options: int
    ) -> Setting:
        chosen = Agent.model_validate(options)
        return Setting(lambda: Environment(over, chosen, []), chosen, tuple(tools), tuple(told), {"x": "1"})

    return make

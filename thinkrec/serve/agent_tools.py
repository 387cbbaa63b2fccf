"""The agent's five tools for any user, or any history, and any candidates, after all that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkrec.agent.cases import Case
from thinkrec.agent.environment import Environment, bound
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.load import load_knowledge
from thinkrec.artifacts.check import check
from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions
from thinkrec.systems.candidates import NOBODY

if TYPE_CHECKING:
    from thinkrec.config.agent import Agent
    from thinkrec.config.sections import Params
    from thinkrec.layout import Layout


class WithHistory(Knowledge):
    """What is known of all users, and a history of somebody who is none of them.

    Shapes: h interactions.

    Args:
        knowledge: of all users.
        items: [h] int64 item_id, oldest first.
        labels: [h] int64, 1 liked, 0 not.
    """

    def __init__(self, knowledge: Knowledge, items: np.ndarray, labels: np.ndarray) -> None:
        """Put the history behind the interactions, whose row numbers stay."""
        vars(self).update(vars(knowledge))
        known, none = knowledge.data, np.zeros(len(items), dtype=np.int64)
        self._own = np.arange(len(known), len(known) + len(items))
        self.data = Interactions(
            np.concatenate([known.user_id, none + NOBODY]),
            np.concatenate([known.item_id, items]),
            np.concatenate([known.label, labels]),
            np.concatenate([known.timestamp, none]),
            np.concatenate([known.position, np.arange(len(items))]),
            np.concatenate([known.split, none.astype(known.split.dtype)]),
            np.concatenate([known.not_cold, none.astype(bool)]),
        )

    def past(self, user: int, moment: int) -> np.ndarray:
        """Return row numbers of the history, [h], oldest first."""
        return self._own


class AgentTools:
    """The agent's tools, each call an episode of its own, a second after the latest interaction.

    Args:
        knowledge: of the data set.
        options: limits of the answers.
    """

    def __init__(self, knowledge: Knowledge, options: Agent) -> None:
        """Keep them."""
        self._knowledge, self._options = knowledge, options
        self._now = int(knowledge.data.timestamp.max(initial=0)) + SECOND

    @classmethod
    def load(cls, layout: Layout, params: Params) -> AgentTools:
        """Load what the tools read, checked against its manifests.

        Raises:
            MissingInputError: a part was not made yet.
            DataError: prepared data are damaged or stale.
            ModelError: the encoder is.
        """
        options = params.agent
        needed = ("interactions", "items", "keywords", "graph", f"encoders/{options.encoder}")
        check(layout, needed, params)
        return cls(load_knowledge(layout, Interactions.load(layout.interactions), options), options)

    def call(
        self,
        name: str,
        user: int = NOBODY,
        history: Sequence[tuple[int, bool]] = (),
        items: Sequence[int] = (),
        **arguments: Any,
    ) -> tuple[str, str]:
        """Call a tool.

        Args:
            name: of the tool.
            user: user_id.
            history: item_id and whether it was liked, in place of a user's.
            items: item_id of each candidate, 26 at most.
            arguments: of the tool.

        Returns:
            Its answer, and the candidates' letters.
        """
        knowledge = self._knowledge
        if user == NOBODY:
            pairs = np.array(history, dtype=np.int64).reshape(-1, 2)
            knowledge = WithHistory(knowledge, pairs[:, 0], pairs[:, 1])
        case = Case(0, "test", -1, user, self._now, tuple(items), -1)
        environment = Environment(knowledge, self._options, ())
        environment.reset(case=case)
        return bound(environment)[name](**arguments), case.letters

"""The scripted agent: a random plan of tool calls, then the ranking of one tool."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from thinkrec.agent.dialogue import PREFIX
from thinkrec.agent.environment import LISTS
from thinkrec.agent.rollout import Dialogue, Turn

_ORDER = re.compile(r"^[^:\n]+: ([A-Z](?: [A-Z])*)\. ")
MISSING = {
    "search_profile": "the user's general preferences",
    "search_history": "the user's earlier interactions",
    "find_similar_users": "the opinions of similar users",
    "get_item": "the popularity of the candidates",
    "search_knowledge_graph": "how the candidates relate to the user's history",
}
MOST = 3  # tools of one plan


class Scripted:
    """Calls one to three random tools, in one turn or one after the other, and adopts one of their rankings.

    Without a ranking it keeps the order shown. It does not know which tool helps; the filter keeps the
    trajectories that rank the target high. Our choice.
    """

    name = "scripted"

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Return the next message of each dialogue, which depends on the dialogue's seed alone."""
        return [self._turn(dialogue) for dialogue in dialogues]

    def _turn(self, dialogue: Dialogue) -> Turn:
        rng = np.random.default_rng(dialogue.seed)
        names = list(dialogue.tools)
        count = int(rng.integers(1, min(MOST, len(names)) + 1)) if names else 0
        plan = [names[k] for k in rng.choice(len(names), count, replace=False)] if count else []
        at_once = rng.random() < 0.5
        turns = sum(message["role"] == "assistant" for message in dialogue.messages)
        steps = [plan] if at_once else [[name] for name in plan]
        if dialogue.end or turns >= len(steps):
            return Turn({"role": "assistant", "content": self._answer(dialogue, rng)})
        calls = [{"type": "function", "function": {"name": name, "arguments": {}}} for name in steps[turns]]
        missing = ", ".join(MISSING[name] for name in steps[turns])
        return Turn({"role": "assistant", "content": f"Missing: {missing}.", "tool_calls": calls})

    def _answer(self, dialogue: Dialogue, rng: np.random.Generator) -> str:
        rankings = {
            call.name: match[1].split()
            for call in dialogue.episode.log
            if call.name in LISTS and (match := _ORDER.match(call.answer))
        }
        if rankings:
            name = list(rankings)[rng.integers(len(rankings))]
            rest = [letter for letter in dialogue.case.letters if letter not in rankings[name]]
            return f"Based on {name}.\n{PREFIX} {' '.join([*rankings[name], *rest])}"
        return f"Based on no tool.\n{PREFIX} {' '.join(dialogue.case.letters)}"

"""The embedded investigator: a script that tries plans at random and follows one of the lists it got."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from thinkrec.agent.dialogue import PREFIX
from thinkrec.agent.environment import LISTS
from thinkrec.agent.rollout import Dialogue, Turn

_ORDER = re.compile(r"^[^:\n]+: ([A-Z](?: [A-Z])*)\. ")
MISSING = {
    "search_profile": "what the user likes in general",
    "search_history": "what the user met before",
    "find_similar_users": "what similar users think",
    "get_item": "how much the candidates are met",
    "search_knowledge_graph": "how the candidates fit the user's past",
}
MOST = 3  # tools of one plan


class Scripted:
    """Plans one to three tools, in one turn or one after the other, and follows one of the lists.

    Without a list it keeps the order shown. It knows nothing of which tool helps: trajectories that rank the
    target high are kept by the filter. Our choice.
    """

    name = "scripted"

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Each dialogue's next message; a dialogue's seed decides all of them."""
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
        lists = {
            call.name: found[1].split()
            for call in dialogue.episode.log
            if call.name in LISTS and (found := _ORDER.match(call.answer))
        }
        if lists:
            name = list(lists)[rng.integers(len(lists))]
            rest = [letter for letter in dialogue.case.letters if letter not in lists[name]]
            return f"Decided by {name}.\n{PREFIX} {' '.join([*lists[name], *rest])}"
        return f"Decided by nothing.\n{PREFIX} {' '.join(dialogue.case.letters)}"

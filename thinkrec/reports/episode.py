"""One episode of the agent as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from string import ascii_uppercase

from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from thinkrec.agent.rollout import Trajectory


def shown(episode: Trajectory) -> Iterator[RenderableType]:
    """What was said, call by call, and what came of it. All texts are shown as text, whatever they hold."""
    yield _plain(
        f"{episode.model}, case {episode.number} of {episode.split}, user {episode.user}, "
        f"moment {episode.moment}, seed {episode.seed}",
        style="bold",
    )
    for message in episode.messages:
        said = str(message["content"])
        calls = [call["function"] for call in message.get("tool_calls") or []]
        lines = [f"calls {call.get('name')}({_arguments(call.get('arguments'))})" for call in calls]
        title = message["role"] + (f" {message['name']}" if message.get("name") else "")
        body = _plain("\n".join([*([said] if said else []), *lines]))
        yield Panel(body, title=_plain(title), title_align="left")
    order = ", ".join(ascii_uppercase[place] for place in episode.order)
    target = ascii_uppercase[episode.target]
    form = "valid" if episode.valid else f"not valid, {episode.completed} candidates completed"
    form = f"forced, {episode.completed} candidates completed" if episode.forced else form
    calls_made = ", ".join(f"{name} {count}" for name, count in episode.calls.items() if count) or "none"
    rewards = ", ".join(f"{name} {value:.3f}" for name, value in episode.rewards.items())
    yield _plain(f"ranking: {order} ({form})\nheld-out item: {target}, at rank {episode.rank}")
    yield _plain(f"calls: {calls_made}; failed: {episode.errors}\nrewards: {rewards}")
    yield _plain(f"tokens: {episode.read} read, {episode.said} said; {episode.seconds:.2f} s")


def _plain(said: str, style: str = "") -> Text:
    """A text with line ends as they are, and all else that a terminal may act on escaped."""
    shown = (
        letter if letter == "\n" or letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in said
    )
    return Text("".join(shown), style)


def _arguments(found: object) -> str:
    if not isinstance(found, dict):
        return str(found)
    return ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in found.items())

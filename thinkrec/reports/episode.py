"""An episode of the agent for terminals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from string import ascii_uppercase

from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from thinkrec.agent.rollout import Trajectory


def render(episode: Trajectory) -> Iterator[RenderableType]:
    """Yield messages, calls and outcome of an episode. Texts are escaped."""
    yield _plain(
        f"{episode.model}, case {episode.number} of {episode.split}, user {episode.user}, "
        f"moment {episode.moment}, seed {episode.seed}",
        style="bold",
    )
    for message in episode.messages:
        content = str(message["content"])
        calls = [call["function"] for call in message.get("tool_calls") or []]
        lines = [f"calls {call.get('name')}({_arguments(call.get('arguments'))})" for call in calls]
        title = message["role"] + (f" {message['name']}" if message.get("name") else "")
        body = _plain("\n".join([*([content] if content else []), *lines]))
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


def _plain(text: str, style: str = "") -> Text:
    """Escape all control characters of a text but line ends."""
    escaped = (
        character
        if character == "\n" or character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )
    return Text("".join(escaped), style)


def _arguments(arguments: object) -> str:
    if not isinstance(arguments, dict):
        return str(arguments)
    return ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())

"""Episodes: analyse, plan, act, until a ranking or the end of the budget; and their record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from thinkrec.agent.cases import Case
from thinkrec.agent.dialogue import (
    Message,
    Ranking,
    first_message,
    malformed,
    no_ranking,
    read_ranking,
)
from thinkrec.agent.environment import (
    OVER,
    TOOLS,
    Called,
    Environment,
    Episode,
    answer_call,
    bound,
    error_text,
)
from thinkrec.agent.rewards import episode_rewards
from thinkrec.config.agent import Agent as Options
from thinkrec.errors import DataError
from thinkrec.journal import Journal
from thinkrec.progress import Bar

UNKNOWN = "unknown"  # tools that there are not, in counts of calls
BROKEN = error_text("that was no call: write one JSON object with name and arguments")


@dataclass(frozen=True)
class Turn:
    """One message of an agent.

    Args:
        message: role assistant, content, and tool_calls where it makes any.
        read: tokens of the dialogue before it; 0 where nobody counts.
        said: tokens of the message.
    """

    message: Message
    read: int = 0
    said: int = 0


@dataclass
class Dialogue:
    """An episode under way: what a model is shown, and the tools it may call.

    Args:
        case: to be ranked.
        messages: said so far.
        tools: by name.
        episode: what its environment knows.
        seed: of the sampling.
        read: tokens read, over all turns.
        said: tokens generated.
        size: tokens of all messages; a quarter of the letters where nobody counted.
        end: its budget is used up, and its next message should be the answer.
        over: it called a tool after the last turn, so that its answer must be forced.
        done: it has its answer.
    """

    case: Case
    messages: list[Message]
    tools: dict[str, Callable[..., str]]
    episode: Episode
    seed: int
    read: int = 0
    said: int = 0
    size: int = 0
    end: bool = False
    over: bool = False
    done: bool = False


class Model(Protocol):
    """Who investigates."""

    name: str

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Continue each dialogue by one message; a `last` one is forced to be the answer."""
        ...


@dataclass(frozen=True)
class Trajectory:
    """One whole episode: everything that a replay shows, without a model.

    Args:
        model: who investigated.
        number: of the case.
        split: of the case.
        user: the user.
        moment: cut-off (s).
        items: candidates in the order shown.
        target: place of the held-out one.
        messages: all that was said.
        order: places of the candidates, the best first.
        valid: the answer had the asked form, and was not forced.
        completed: candidates that it lacked.
        forced: it was still calling tools when the budget was used up, and was made to answer.
        calls: of tools, by name.
        errors: calls that could not be answered.
        rewards: each of the three.
        seed: of the sampling.
        read: tokens read, over all turns.
        said: tokens generated.
        seconds: of the batch over its episodes.
        versions: of the packages.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: str
    number: int
    split: str
    user: int
    moment: int
    items: tuple[int, ...]
    target: int
    messages: list[Message]
    order: tuple[int, ...]
    valid: bool
    completed: int
    forced: bool
    calls: dict[str, int]
    errors: int
    rewards: dict[str, float]
    seed: int
    read: int
    said: int
    seconds: float
    versions: dict[str, str]

    @property
    def rank(self) -> int:
        """Rank of the held-out item, from 1."""
        return self.order.index(self.target) + 1


class _Call(BaseModel):
    """What every call of a stored message has."""

    function: dict[str, Any]


class _Said(BaseModel):
    """What every stored message has."""

    role: str
    content: str
    tool_calls: list[_Call] | None = None


_TRAJECTORY = TypeAdapter(Trajectory)
_MESSAGES = TypeAdapter(list[_Said])


@dataclass(frozen=True)
class Setting:
    """How episodes are run.

    Args:
        environment: makes an episode's environment.
        options: budgets.
        tools: names of the tools the model may call.
        told: tools whose answers are told at once, in this order; no tool can be called then.
        versions: of the packages, for the record.
    """

    environment: Callable[[], Environment]
    options: Options
    tools: tuple[str, ...]
    told: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def open(self, case: Case, seed: int) -> Dialogue:
        """Begin an episode."""
        environment = self.environment()
        environment.reset(case=case)
        knowledge, episode = environment.knowledge, environment.episode
        every = bound(environment)
        episode.told = len(self.told)
        answers = [(name, every[name]()) for name in self.told]
        first = first_message(
            knowledge,
            case,
            self.options.initial_history_length,
            self.options.max_turns,
            bool(self.tools),
            answers,
        )
        tools = {name: every[name] for name in self.tools}
        return Dialogue(case, [first], tools, episode, seed, size=_tokens(first))


def play(model: Model, dialogues: Sequence[Dialogue], options: Options) -> None:
    """Run episodes side by side until each has its answer; after all turns one more message may be it.

    Who calls a tool even there is forced to answer, which earns nothing; TRL's loop ends such an episode. It
    ends one with a call that can't be read, too, where this one says so and goes on. Calls over
    `options.max_calls` are refused by the environment, in both.
    """
    for number in range(options.max_turns + 1):
        open_ones = [each for each in dialogues if not (each.done or each.over)]
        ends = [number == options.max_turns or _used_up(each, options) for each in open_ones]
        for dialogue, end in zip(open_ones, ends, strict=True):
            made = len(dialogue.episode.log) - dialogue.episode.told
            dialogue.end = end or made >= options.max_calls
        turns = model.turn(open_ones, False) if open_ones else []
        for dialogue, turn, end in zip(open_ones, turns, ends, strict=True):
            _take(dialogue, turn, end)
    forced = [each for each in dialogues if each.over]
    for dialogue, turn in zip(forced, model.turn(forced, True) if forced else [], strict=True):
        _keep(dialogue, turn)


def _used_up(dialogue: Dialogue, options: Options) -> bool:
    return not dialogue.tools or dialogue.size >= options.max_episode_tokens


def _tokens(message: Message) -> int:
    return len(str(message["content"])) // 4


def _keep(dialogue: Dialogue, turn: Turn) -> None:
    dialogue.messages.append(turn.message)
    dialogue.read += turn.read
    dialogue.said += turn.said
    dialogue.size = turn.read + turn.said if turn.read else dialogue.size + _tokens(turn.message)


def _take(dialogue: Dialogue, turn: Turn, end: bool) -> None:
    """Keep a message and answer its calls; at the end of turns or tokens none is answered any more."""
    _keep(dialogue, turn)
    calls = turn.message.get("tool_calls") or []
    broken = not calls and malformed(str(turn.message["content"]))
    dialogue.done = not calls and not broken
    dialogue.over = end and not dialogue.done
    for call in calls:
        function = call["function"]
        name, arguments = function.get("name"), function.get("arguments") or {}
        if end:
            dialogue.episode.log.append(Called(str(name)[:40], {}, "", OVER))
            said = error_text(OVER)
        else:
            said = answer_call(dialogue.tools, dialogue.episode, name, arguments)
        reply = {"role": "tool", "name": str(name), "content": said}
        dialogue.messages.append(reply | ({"tool_call_id": call["id"]} if "id" in call else {}))
        dialogue.size += _tokens(reply)
    if broken:
        dialogue.messages.append({"role": "tool", "name": UNKNOWN, "content": BROKEN})


def _record(model: str, dialogue: Dialogue, setting: Setting, seconds: float) -> Trajectory:
    case, messages = dialogue.case, dialogue.messages
    found: Ranking = read_ranking(str(messages[-1].get("content") or ""), case.letters) or no_ranking(
        case.letters
    )
    made = dialogue.episode.log[dialogue.episode.told :]
    calls = dict.fromkeys(setting.tools, 0)
    for call in made:
        name = call.name if call.name in TOOLS else UNKNOWN
        calls[name] = calls.get(name, 0) + 1
    broken = sum(message["content"] == BROKEN for message in messages if message["role"] == "tool")
    return Trajectory(
        model, case.number, case.split, case.user, case.moment, case.items, case.target, messages,
        found.order, found.valid and not dialogue.over, found.completed, dialogue.over, calls,
        broken + sum(bool(call.error) for call in made),
        episode_rewards(
            [] if dialogue.over else messages, case.letters, case.target, setting.options.max_calls
        ),
        dialogue.seed, dialogue.read, dialogue.said, round(seconds, 4), setting.versions,
    )  # fmt: skip


def roll_out(
    model: Model,
    cases: Sequence[Case],
    setting: Setting,
    seeds: Sequence[int],
    size: int,
    journal: Path | None = None,
    show: str = "episodes",
) -> list[Trajectory]:
    """Run one episode for each case and seed, `size` side by side.

    Args:
        model: who investigates.
        cases: [n], repeated for several episodes of one.
        setting: tools and budgets.
        seeds: of each episode's sampling, [n].
        size: episodes in progress at once.
        journal: JSON lines of the episodes done, of this very run; a run that was cut off goes on from it.
        show: name of the progress bar.

    Returns:
        Trajectories in the order of the cases.
    """
    kept = Journal(journal)
    done = dict(kept.read(_numbered))
    batches = [range(first, min(first + size, len(cases))) for first in range(0, len(cases), size)]
    # Of a batch that is there in part none counts, since sampling depends on the whole of it.
    missing = [batch for batch in batches if not done.keys() >= set(batch)]
    there = len(cases) - sum(map(len, missing))
    with Bar(total=len(cases), initial=there, desc=show, unit="episode") as bar:
        for batch in missing:
            start = time.perf_counter()
            dialogues = [setting.open(cases[place], seeds[place]) for place in batch]
            play(model, dialogues, setting.options)
            each = (time.perf_counter() - start) / len(dialogues)
            found = [_record(model.name, dialogue, setting, each) for dialogue in dialogues]
            kept.add(f"[{place}, {written(one)}]" for place, one in zip(batch, found, strict=True))
            done.update(zip(batch, found, strict=True))
            bar.update(len(found))
    return [done[place] for place in range(len(cases))]


def _numbered(line: bytes) -> tuple[int, Trajectory]:
    """Place and episode of a line of the journal."""
    place, said = json.loads(line)
    return int(place), _checked(said)


def written(trajectory: Trajectory) -> str:
    """A trajectory as one line of JSON; half a surrogate pair becomes a question mark."""
    line = json.dumps(vars(trajectory), ensure_ascii=False)
    return line.encode("utf-8", "replace").decode("utf-8")


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Read trajectories, one a line.

    Raises:
        DataError: a line is no trajectory.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _checked(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: no trajectory ({_why(error)})") from error


def _checked(said: Any) -> Trajectory:
    found = _TRAJECTORY.validate_python(said)
    _MESSAGES.validate_python(found.messages)
    count = len(found.items)
    if count > len(ascii_uppercase) or sorted(found.order) != list(range(count)):
        raise ValueError("order names not each of at most 26 items once")
    if found.target not in found.order:
        raise ValueError("target is the place of no item")
    return found


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'line'!r}: {first['msg']}"

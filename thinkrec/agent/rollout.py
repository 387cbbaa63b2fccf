"""Episodes: the agent analyses, plans and acts until it ranks or its budget ends; and their records."""

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

UNKNOWN = "unknown"  # key of calls of tools that do not exist
BROKEN = error_text("that is not a tool call: write one JSON object with name and arguments")


@dataclass(frozen=True)
class Turn:
    """One message of an agent.

    Args:
        message: role assistant, content, and tool_calls if there are any.
        read: tokens of the dialogue before it; 0 if not counted.
        said: tokens generated.
    """

    message: Message
    read: int = 0
    said: int = 0


@dataclass
class Dialogue:
    """An episode in progress: the messages that a model sees, and the tools it may call.

    Args:
        case: what to rank.
        messages: so far.
        tools: by name.
        episode: state of its environment.
        seed: of the sampling.
        read: tokens read, summed over all turns.
        said: tokens generated.
        size: tokens of all messages; estimated as a quarter of the characters if not counted.
        end: the budget is used up; the next message should be the answer.
        over: it called a tool after the last turn, so that an answer must be forced.
        done: it has an answer.
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
    """What plays the agent."""

    name: str

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Continue each dialogue by one message; the `last` one is forced to be the answer."""
        ...


@dataclass(frozen=True)
class Trajectory:
    """One whole episode: everything that is needed to replay it without a model.

    Args:
        model: what played the agent.
        number: of the case.
        split: of the case.
        user: the user.
        moment: cut-off (s).
        items: candidates in the order shown.
        target: place of the held-out item.
        messages: all of them.
        order: places of the candidates, best first.
        valid: the answer had the requested form and was not forced.
        completed: number of candidates missing from the answer.
        forced: it was still calling tools when the budget was used up, and had to answer.
        calls: number of tool calls by name.
        errors: number of failed calls.
        rewards: the three rewards by name.
        seed: of the sampling.
        read: tokens read, summed over all turns.
        said: tokens generated.
        seconds: wall time of the batch divided by its episodes.
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
        """Return the rank of the held-out item, from 1."""
        return self.order.index(self.target) + 1


class _Call(BaseModel):
    """Schema of a tool call in a stored message."""

    function: dict[str, Any]


class _StoredMessage(BaseModel):
    """Schema of a stored message."""

    role: str
    content: str
    tool_calls: list[_Call] | None = None


_TRAJECTORY = TypeAdapter(Trajectory)
_MESSAGES = TypeAdapter(list[_StoredMessage])


@dataclass(frozen=True)
class Setting:
    """How episodes are run.

    Args:
        environment: makes the environment of an episode.
        options: budgets.
        tools: names of the tools that the model may call.
        prefetched: tools whose answers the first message contains, in this order; no tool can be called then.
        versions: of the packages, for the record.
    """

    environment: Callable[[], Environment]
    options: Options
    tools: tuple[str, ...]
    prefetched: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def open(self, case: Case, seed: int) -> Dialogue:
        """Begin an episode."""
        environment = self.environment()
        environment.reset(case=case)
        knowledge, episode = environment.knowledge, environment.episode
        every = bound(environment)
        episode.free = len(self.prefetched)
        answers = [(name, every[name]()) for name in self.prefetched]
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
    """Run episodes side by side until each has an answer, which may follow the last turn with tool calls.

    An agent that calls a tool even then is forced to answer, without reward; TRL's loop ends such an episode.
    TRL's loop also ends an episode with a call that can't be parsed; this one reports the error and goes on.
    In both, the environment refuses calls beyond `options.max_calls`.
    """
    for number in range(options.max_turns + 1):
        open_ones = [each for each in dialogues if not (each.done or each.over)]
        ends = [number == options.max_turns or _used_up(each, options) for each in open_ones]
        for dialogue, end in zip(open_ones, ends, strict=True):
            made = len(dialogue.episode.log) - dialogue.episode.free
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
    """Append a message and answer its calls; once turns or tokens are used up, calls are refused."""
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
            answer = error_text(OVER)
        else:
            answer = answer_call(dialogue.tools, dialogue.episode, name, arguments)
        reply = {"role": "tool", "name": str(name), "content": answer}
        dialogue.messages.append(reply | ({"tool_call_id": call["id"]} if "id" in call else {}))
        dialogue.size += _tokens(reply)
    if broken:
        dialogue.messages.append({"role": "tool", "name": UNKNOWN, "content": BROKEN})


def _record(model: str, dialogue: Dialogue, setting: Setting, seconds: float) -> Trajectory:
    case, messages = dialogue.case, dialogue.messages
    ranking: Ranking = read_ranking(str(messages[-1].get("content") or ""), case.letters) or no_ranking(
        case.letters
    )
    made = dialogue.episode.log[dialogue.episode.free :]
    calls = dict.fromkeys(setting.tools, 0)
    for call in made:
        name = call.name if call.name in TOOLS else UNKNOWN
        calls[name] = calls.get(name, 0) + 1
    broken = sum(message["content"] == BROKEN for message in messages if message["role"] == "tool")
    return Trajectory(
        model, case.number, case.split, case.user, case.moment, case.items, case.target, messages,
        ranking.order, ranking.valid and not dialogue.over, ranking.completed, dialogue.over, calls,
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
        model: what plays the agent.
        cases: [n]; a case with several episodes is repeated.
        setting: tools and budgets.
        seeds: of each episode's sampling, [n].
        size: episodes in progress at once.
        journal: JSON lines of finished episodes, from which an interrupted run resumes.
        show: title of the progress bar.

    Returns:
        Trajectories in the order of the cases.
    """
    kept = Journal(journal)
    done = dict(kept.read(_numbered))
    batches = [range(first, min(first + size, len(cases))) for first in range(0, len(cases), size)]
    # An incomplete batch is run again as a whole, since sampling depends on all of it.
    missing = [batch for batch in batches if not done.keys() >= set(batch)]
    resumed = len(cases) - sum(map(len, missing))
    with Bar(total=len(cases), initial=resumed, desc=show, unit="episode") as bar:
        for batch in missing:
            start = time.perf_counter()
            dialogues = [setting.open(cases[place], seeds[place]) for place in batch]
            play(model, dialogues, setting.options)
            each = (time.perf_counter() - start) / len(dialogues)
            records = [_record(model.name, dialogue, setting, each) for dialogue in dialogues]
            kept.add(f"[{place}, {written(one)}]" for place, one in zip(batch, records, strict=True))
            done.update(zip(batch, records, strict=True))
            bar.update(len(records))
    return [done[place] for place in range(len(cases))]


def _numbered(line: bytes) -> tuple[int, Trajectory]:
    """Return the place and the episode of a journal line."""
    place, record = json.loads(line)
    return int(place), _checked(record)


def written(trajectory: Trajectory) -> str:
    """Return a trajectory as one line of JSON; lone surrogates become question marks."""
    line = json.dumps(vars(trajectory), ensure_ascii=False)
    return line.encode("utf-8", "replace").decode("utf-8")


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Read trajectories, one per line.

    Raises:
        DataError: a line is not a trajectory.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _checked(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: not a trajectory ({_why(error)})") from error


def _checked(record: Any) -> Trajectory:
    trajectory = _TRAJECTORY.validate_python(record)
    _MESSAGES.validate_python(trajectory.messages)
    count = len(trajectory.items)
    if count > len(ascii_uppercase) or sorted(trajectory.order) != list(range(count)):
        raise ValueError("order does not name each of at most 26 items once")
    if trajectory.target not in trajectory.order:
        raise ValueError("target is not the place of an item")
    return trajectory


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'line'!r}: {first['msg']}"

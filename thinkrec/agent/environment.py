"""The five tools, bound to one user and one moment, as TRL's trainers and the chat templates take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar, get_args

from pydantic import ValidationError, validate_call

from thinkrec.agent.cases import Case
from thinkrec.agent.knowledge import LONGEST, Knowledge
from thinkrec.config.agent import Agent, Tool
from thinkrec.data.moments import DAY

Answering = TypeVar("Answering", bound=Callable[..., str])
TOOLS: tuple[Tool, ...] = get_args(Tool)
LISTS: tuple[Tool, ...] = ("find_similar_users", "get_item", "search_knowledge_graph")
"""Tools whose answers put the candidates into an order."""
OVER = "no calls are left: answer now with the ranking"
ATTRIBUTES = 1  # told of each candidate
OLD = 200  # latest interactions of the user that tools look at
WORDS = 12  # of a description
PRIOR = 3.0  # interactions that a share is drawn towards the mean by
LIKED = "liked", "disliked"


class ToolError(ValueError):
    """A call that can't be answered; its words go to the model."""


@dataclass
class Called:
    """One tool call of an episode; `error` is "" where it was answered."""

    name: str
    arguments: dict[str, Any]
    answer: str
    error: str = ""


@dataclass
class Episode:
    """What an environment knows of the episode under way; the log's first `told` calls cost no budget."""

    case: Case
    log: list[Called] = field(default_factory=list)
    told: int = 0


def _tool(method: Answering) -> Answering:
    """Check a tool's arguments and the budget, and keep the call in the episode's log."""
    checked = validate_call(config={"strict": True})(method)

    @wraps(method)
    def call(self: Environment, /, *args: Any, **kwargs: Any) -> str:
        entry = Called(method.__name__, dict(kwargs), "")
        done = self._begin(entry)
        try:
            if done:
                raise ToolError(done)
            entry.answer = checked(self, *args, **kwargs)
        except ValidationError as error:
            said = error.errors()[0]
            place = ".".join(str(part) for part in said["loc"])[:40] or "arguments"
            entry.error = f"{method.__name__}: {place}: {said['msg'].lower()}"
        except ToolError as error:
            entry.error = str(error)
        if entry.error:
            raise ToolError(entry.error)
        return entry.answer

    return call  # type: ignore[return-value]


class Environment:
    """One episode's tools. Public methods other than `reset` are what the model may call.

    Args:
        knowledge: of the data set.
        options: budgets and bounds of answers.
        cases: by number, for `reset`.
    """

    def __init__(self, knowledge: Knowledge, options: Agent, cases: Sequence[Case]) -> None:
        """Bound to no case until `reset`."""
        self.knowledge, self._options, self._cases = knowledge, options, cases
        self.episode: Episode

    def reset(self, number: int = 0, case: Case | None = None, **_: Any) -> None:
        """Begin an episode on `case`, or on the case of this number; further columns are ignored."""
        self.episode = Episode(case or self._cases[number])
        self._past = self.knowledge.past(self.episode.case.user, self.episode.case.moment)

    def _begin(self, entry: Called) -> str:
        """Keep a call; what is wrong with it at once, or ""."""
        log, known = self.episode.log, self._options.max_calls
        same = [call for call in log if (call.name, call.arguments) == (entry.name, entry.arguments)]
        log.append(entry)
        if len(log) - self.episode.told > known:
            return OVER
        return "you asked that before; its answer stands above" if any(not c.error for c in same) else ""

    @_tool
    def search_profile(self) -> str:
        """What the user likes and dislikes.

        Returns:
            Counts of verdicts, then attributes with liked / disliked counts.
        """
        knowledge, data = self.knowledge, self.knowledge.data
        if not len(self._past):
            return "Nothing is known of this user."
        liked = int(data.label[self._past].sum())
        likes, dislikes = knowledge.verdicts(self._past[-OLD:])
        score = {k: (likes[k] - dislikes[k]) / (likes[k] + dislikes[k] + PRIOR) for k in {*likes, *dislikes}}
        names = knowledge.graph.names
        order = sorted(score, key=lambda k: (-score[k], names[k]))
        parts = []
        for word, chosen in (
            ("Likes", [k for k in order if score[k] > 0][: self._options.max_lines]),
            ("Dislikes", [k for k in order[::-1] if score[k] < 0][: self._options.max_lines]),
        ):
            told = [f"{knowledge.attribute(k)} {likes[k]} of {likes[k] + dislikes[k]}" for k in chosen]
            parts.append(f"{word}: {', '.join(told) or 'nothing stands out'}.")
        return " ".join([f"Liked {liked} of {len(self._past)} items.", *parts])

    @_tool
    def search_history(self, query: str = "") -> str:
        """The user's latest items.

        Args:
            query: words that title or attributes must hold; empty for all items

        Returns:
            Titles with verdicts, the latest first.
        """
        knowledge, data = self.knowledge, self.knowledge.data
        words = query.lower().split()
        found: list[str] = []
        for row in self._past[-OLD:][::-1].tolist():
            item = int(data.item_id[row])
            if words:
                text = f"{knowledge.items.title[item]} {' '.join(knowledge.items.keywords[item])}".lower()
                names = " ".join(knowledge.graph.names[k] for k in knowledge.graph.attributes.of(item))
                if not all(word in f"{text} {names.lower()}" for word in words):
                    continue
            found.append(f"{LIKED[1 - int(data.label[row])]} {knowledge.title(item)}")
            if len(found) == self._options.max_lines:
                break
        return f"{'; '.join(found)}." if found else "Nothing found."

    @_tool
    def find_similar_users(self, items: list[str] | None = None) -> str:
        """What similar users thought of candidates.

        Args:
            items: letters of candidates; all of them when left out

        Returns:
            Candidates in the order of those users' verdicts, the best first, with how many liked them.
        """
        knowledge, case = self.knowledge, self.episode.case
        told, score = {}, {}
        for place in self._places(items):
            rows = knowledge.met_by(case.items[place], case.moment)[-self._options.max_users :]
            rows = rows[knowledge.data.user_id[rows] != case.user]
            labels = knowledge.data.label[rows]
            near = knowledge.similarity(case.user, knowledge.data.user_id[rows])
            known = near > 0
            score[place] = float((near * labels).sum())
            told[place] = f"{int(labels[known].sum())} of {int(known.sum())}"
        return self._listed("Similar users liked", score, told)

    @_tool
    def get_item(self, items: list[str] | None = None) -> str:
        """What candidates are and how many people meet them.

        Args:
            items: letters of candidates; all of them when left out

        Returns:
            Candidates in the order of people who met them of late, the most met first.
        """
        knowledge, case, options = self.knowledge, self.episode.case, self._options
        told, score = {}, {}
        for place in self._places(items):
            item = case.items[place]
            rows = knowledge.met_by(item, case.moment)
            late = knowledge.data.timestamp[rows] >= case.moment - options.recent_days * DAY
            share = (
                round(100 * float(knowledge.data.label[rows[-options.max_users :]].mean()))
                if len(rows)
                else 0
            )
            about = self._about(item)
            told[place] = f"{int(late.sum())} of {len(rows)} of late, {share} % liked{about}"
            score[place] = float(late.sum()) + len(rows) / (len(knowledge.data) + 1)
        return self._listed("Met of late", score, told)

    @_tool
    def search_knowledge_graph(self, items: list[str] | None = None) -> str:
        """How candidates are connected with what the user met.

        Args:
            items: letters of candidates; all of them when left out

        Returns:
            Candidates in the order of how well their connections were liked, the best first.
        """
        knowledge, case = self.knowledge, self.episode.case
        past = self._past[-OLD:]
        likes, dislikes = knowledge.verdicts(past)
        labels = knowledge.data.label[past]
        liked_items = set(knowledge.data.item_id[past[labels == 1]].tolist())
        base = (float(labels.sum()) + 1) / (len(past) + 2)
        told, score = {}, {}
        for place in self._places(items):
            item = case.items[place]
            known = [k for k in knowledge.graph.attributes.of(item).tolist() if likes[k] + dislikes[k]]
            ups, downs = sum(likes[k] for k in known), sum(dislikes[k] for k in known)
            near = [k for k in knowledge.graph.related.of(item).tolist() if k in liked_items]
            ups += len(near)
            score[place] = (ups + PRIOR * base) / (ups + downs + PRIOR)
            order = sorted(known, key=lambda k: -(likes[k] + dislikes[k]))[:ATTRIBUTES]
            parts = [f"{knowledge.attribute(k)} {likes[k]} of {likes[k] + dislikes[k]}" for k in order]
            parts += [f"liked together with {knowledge.title(k)}" for k in near[:1]]
            told[place] = ", ".join(parts) or "no connection"
        return self._listed("Best connected", score, told)

    def _about(self, item: int) -> str:
        """Attributes of an item, or how its description begins."""
        knowledge = self.knowledge
        names = [knowledge.attribute(k) for k in knowledge.graph.attributes.of(item)[:ATTRIBUTES].tolist()]
        words = knowledge.about[item][: 8 * LONGEST].split()[:WORDS]
        said = ", ".join(names) or (knowledge.quoted(" ".join(words)) if words else "")
        return f", {said}" if said else ""

    def _places(self, items: list[str] | None) -> list[int]:
        """Places of the candidates with these letters.

        Raises:
            ToolError: a letter is none of theirs.
        """
        letters = self.episode.case.letters
        if not items:
            return list(range(len(letters)))
        for item in items:
            if item not in letters or len(item) != 1:
                raise ToolError(
                    f"there is no candidate {item[:20]!r}: they are {letters[0]} to {letters[-1]}"
                )
        return sorted({letters.index(item) for item in items})

    def _listed(self, what: str, score: dict[int, float], told: dict[int, str]) -> str:
        """The candidates, highest score first, equal ones in the order shown; then what is told of each."""
        letters = self.episode.case.letters
        order = sorted(score, key=lambda place: -score[place])
        lines = "; ".join(f"{letters[place]}: {told[place]}" for place in order)
        return f"{what}: {' '.join(letters[place] for place in order)}. {lines}."


def bound(environment: Environment) -> dict[str, Callable[..., str]]:
    """The tools of an environment by name."""
    return {name: getattr(environment, name) for name in TOOLS}


def answer_call(tools: dict[str, Callable[..., str]], episode: Episode, name: Any, arguments: Any) -> str:
    """Answer one call of a model, whatever it wrote: what is wrong comes back as an error in words."""
    if not isinstance(arguments, dict):
        episode.log.append(Called(str(name), {}, "", "the arguments are no JSON object"))
        return error_text(episode.log[-1].error)
    if not isinstance(name, str) or name not in tools:
        shown = str(name)[:40]
        episode.log.append(Called(shown, arguments, "", f"Tool {shown} not found."))  # TRL's words
        return error_text(episode.log[-1].error)
    try:
        return tools[name](**{str(key): value for key, value in arguments.items()})
    except ToolError as error:
        return error_text(str(error))


def error_text(said: str) -> str:
    """What a model reads where a call failed: as TRL's tool loop writes it, so that GRPO shows the same."""
    return str({"error": said})

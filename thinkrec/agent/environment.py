"""The five tools, bound to one user and one moment, in the form that TRL and chat templates expect."""

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
"""Tools whose answers rank the candidates."""
OVER = "no tool calls are left: give the ranking now"
ATTRIBUTES = 1  # attributes shown of each candidate
LATEST = 200  # latest interactions of the user that tools read
WORDS = 12  # words shown of a description
PRIOR = 3.0  # pseudo-count by which a share is smoothed towards the mean
LIKED = "liked", "disliked"


class ToolError(ValueError):
    """A call that can't be answered; the model reads the message."""


@dataclass
class Called:
    """One tool call of an episode; `error` is "" if it was answered."""

    name: str
    arguments: dict[str, Any]
    answer: str
    error: str = ""


@dataclass
class Episode:
    """State of the current episode; the first `free` calls of the log do not count towards the budget."""

    case: Case
    log: list[Called] = field(default_factory=list)
    free: int = 0


def _tool(method: Answering) -> Answering:
    """Check a tool's arguments and the budget, and log the call."""
    checked = validate_call(config={"strict": True})(method)

    @wraps(method)
    def call(self: Environment, /, *args: Any, **kwargs: Any) -> str:
        entry = Called(method.__name__, dict(kwargs), "")
        refusal = self._begin(entry)
        try:
            if refusal:
                raise ToolError(refusal)
            entry.answer = checked(self, *args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])[:40] or "arguments"
            entry.error = f"{method.__name__}: {place}: {first['msg'].lower()}"
        except ToolError as error:
            entry.error = str(error)
        if entry.error:
            raise ToolError(entry.error)
        return entry.answer

    return call  # type: ignore[return-value]


class Environment:
    """The tools of one episode: the model may call all public methods but `reset`.

    Args:
        knowledge: of the data set.
        options: budgets, and limits of the answers.
        cases: by number, for `reset`.
    """

    def __init__(self, knowledge: Knowledge, options: Agent, cases: Sequence[Case]) -> None:
        """Make tools without a case; `reset` sets it."""
        self.knowledge, self._options, self._cases = knowledge, options, cases
        self.episode: Episode

    def reset(self, number: int = 0, case: Case | None = None, **_: Any) -> None:
        """Begin an episode on `case`, or on the case with this number; further columns are ignored."""
        self.episode = Episode(case or self._cases[number])
        self._past = self.knowledge.past(self.episode.case.user, self.episode.case.moment)

    def _begin(self, entry: Called) -> str:
        """Log a call and return why it is refused, or ""."""
        log = self.episode.log
        same = [call for call in log if (call.name, call.arguments) == (entry.name, entry.arguments)]
        log.append(entry)
        if len(log) - self.episode.free > self._options.max_calls:
            return OVER
        return "you already made this call: see its answer above" if any(not c.error for c in same) else ""

    @_tool
    def search_profile(self) -> str:
        """Summarise the user's preferences.

        Returns:
            Liked items of all, then the most liked and most disliked attributes, each with liked of rated.
        """
        knowledge, data = self.knowledge, self.knowledge.data
        if not len(self._past):
            return "The user has no history."
        liked = int(data.label[self._past].sum())
        likes, dislikes = knowledge.verdicts(self._past[-LATEST:])
        score = {k: (likes[k] - dislikes[k]) / (likes[k] + dislikes[k] + PRIOR) for k in {*likes, *dislikes}}
        names = knowledge.graph.names
        order = sorted(score, key=lambda k: (-score[k], names[k]))
        parts = []
        for word, chosen in (
            ("Most liked", [k for k in order if score[k] > 0][: self._options.max_lines]),
            ("Most disliked", [k for k in order[::-1] if score[k] < 0][: self._options.max_lines]),
        ):
            counts = [f"{knowledge.attribute(k)} {likes[k]} of {likes[k] + dislikes[k]}" for k in chosen]
            parts.append(f"{word}: {', '.join(counts) or 'none'}.")
        return " ".join([f"Liked {liked} of {len(self._past)} items.", *parts])

    @_tool
    def search_history(self, query: str = "") -> str:
        """Search the user's history.

        Args:
            query: words that the title or the attributes must contain; empty for all items

        Returns:
            Titles with verdicts, newest first.
        """
        knowledge, data = self.knowledge, self.knowledge.data
        words = query.lower().split()
        matches: list[str] = []
        for row in self._past[-LATEST:][::-1].tolist():
            item = int(data.item_id[row])
            if words:
                text = f"{knowledge.items.title[item]} {' '.join(knowledge.items.keywords[item])}".lower()
                names = " ".join(knowledge.graph.names[k] for k in knowledge.graph.attributes.of(item))
                if not all(word in f"{text} {names.lower()}" for word in words):
                    continue
            matches.append(f"{LIKED[1 - int(data.label[row])]} {knowledge.title(item)}")
            if len(matches) == self._options.max_lines:
                break
        return f"{'; '.join(matches)}." if matches else "No matching items."

    @_tool
    def find_similar_users(self, items: list[str] | None = None) -> str:
        """Find out what similar users thought of the candidates.

        Args:
            items: letters of candidates; omit for all

        Returns:
            Candidates ranked by similar users' verdicts, best first, each with how many of them liked it.
        """
        knowledge, case = self.knowledge, self.episode.case
        details, scores = {}, {}
        for place in self._places(items):
            rows = knowledge.interactions_with(case.items[place], case.moment)[-self._options.max_users :]
            rows = rows[knowledge.data.user_id[rows] != case.user]
            labels = knowledge.data.label[rows]
            similarity = knowledge.similarity(case.user, knowledge.data.user_id[rows])
            similar = similarity > 0
            scores[place] = float((similarity * labels).sum())
            details[place] = f"{int(labels[similar].sum())} of {int(similar.sum())}"
        return self._ranked("Ranked by similar users' likes", scores, details)

    @_tool
    def get_item(self, items: list[str] | None = None) -> str:
        """Look up the candidates' popularity and attributes.

        Args:
            items: letters of candidates; omit for all

        Returns:
            Candidates ranked by recent popularity, the most popular first, with their interactions.
        """
        knowledge, case, options = self.knowledge, self.episode.case, self._options
        details, scores = {}, {}
        for place in self._places(items):
            item = case.items[place]
            rows = knowledge.interactions_with(item, case.moment)
            recent = int((knowledge.data.timestamp[rows] >= case.moment - options.recent_days * DAY).sum())
            share = (
                round(100 * float(knowledge.data.label[rows[-options.max_users :]].mean()))
                if len(rows)
                else 0
            )
            details[place] = (
                f"{recent} recent of {len(rows)} interactions, {share}% liked{self._description(item)}"
            )
            scores[place] = recent + len(rows) / (len(knowledge.data) + 1)
        return self._ranked("Ranked by recent popularity", scores, details)

    @_tool
    def search_knowledge_graph(self, items: list[str] | None = None) -> str:
        """Find out how the candidates are connected to the user's history.

        Args:
            items: letters of candidates; omit for all

        Returns:
            Candidates ranked by how well the user liked their connections, best first.
        """
        knowledge, case = self.knowledge, self.episode.case
        past = self._past[-LATEST:]
        likes, dislikes = knowledge.verdicts(past)
        labels = knowledge.data.label[past]
        liked_items = set(knowledge.data.item_id[past[labels == 1]].tolist())
        base = (float(labels.sum()) + 1) / (len(past) + 2)
        details, scores = {}, {}
        for place in self._places(items):
            item = case.items[place]
            known = [k for k in knowledge.graph.attributes.of(item).tolist() if likes[k] + dislikes[k]]
            ups, downs = sum(likes[k] for k in known), sum(dislikes[k] for k in known)
            related = [k for k in knowledge.graph.related.of(item).tolist() if k in liked_items]
            ups += len(related)
            scores[place] = (ups + PRIOR * base) / (ups + downs + PRIOR)
            order = sorted(known, key=lambda k: -(likes[k] + dislikes[k]))[:ATTRIBUTES]
            parts = [f"{knowledge.attribute(k)} {likes[k]} of {likes[k] + dislikes[k]}" for k in order]
            parts += [f"liked together with {knowledge.title(k)}" for k in related[:1]]
            details[place] = ", ".join(parts) or "no connection"
        return self._ranked("Ranked by liked connections", scores, details)

    def _description(self, item: int) -> str:
        """Return an item's attributes, or the beginning of its description, after a comma."""
        knowledge = self.knowledge
        names = [knowledge.attribute(k) for k in knowledge.graph.attributes.of(item)[:ATTRIBUTES].tolist()]
        words = knowledge.descriptions[item][: 8 * LONGEST].split()[:WORDS]
        text = ", ".join(names) or (knowledge.quoted(" ".join(words)) if words else "")
        return f", {text}" if text else ""

    def _places(self, items: list[str] | None) -> list[int]:
        """Return the places of the candidates with these letters, ascending; all for None or an empty list.

        Raises:
            ToolError: no candidate has such a letter.
        """
        letters = self.episode.case.letters
        if not items:
            return list(range(len(letters)))
        for item in items:
            if item not in letters or len(item) != 1:
                raise ToolError(
                    f"there is no candidate {item[:20]!r}: candidates are {letters[0]} to {letters[-1]}"
                )
        return sorted({letters.index(item) for item in items})

    def _ranked(self, title: str, scores: dict[int, float], details: dict[int, str]) -> str:
        """Return the candidates by descending score, ties in the order shown, then the details of each."""
        letters = self.episode.case.letters
        order = sorted(scores, key=lambda place: -scores[place])
        lines = "; ".join(f"{letters[place]}: {details[place]}" for place in order)
        return f"{title}: {' '.join(letters[place] for place in order)}. {lines}."


def bound(environment: Environment) -> dict[str, Callable[..., str]]:
    """Return the tools of an environment by name."""
    return {name: getattr(environment, name) for name in TOOLS}


def answer_call(tools: dict[str, Callable[..., str]], episode: Episode, name: Any, arguments: Any) -> str:
    """Answer one call of a model, whatever it wrote; an invalid call is answered with an error message."""
    if not isinstance(arguments, dict):
        episode.log.append(Called(str(name), {}, "", "the arguments are not a JSON object"))
        return error_text(episode.log[-1].error)
    if not isinstance(name, str) or name not in tools:
        short = str(name)[:40]
        episode.log.append(Called(short, arguments, "", f"Tool {short} not found."))  # TRL's message
        return error_text(episode.log[-1].error)
    try:
        return tools[name](**{str(key): value for key, value in arguments.items()})
    except ToolError as error:
        return error_text(str(error))


def error_text(message: str) -> str:
    """Return what a model reads after a failed call, in the form of TRL's tool loop, as in GRPO."""
    return str({"error": message})

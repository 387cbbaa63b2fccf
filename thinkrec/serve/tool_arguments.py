"""What assistants may ask the tools, with bounds; from these come the JSON schemas that they read."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from thinkrec.serve.faults import words
from thinkrec.serve.limits import BEST, CANDIDATES, FOUND, HISTORY, NAME, TOLD
from thinkrec.serve.messages import Name

T = TypeVar("T")
COMPARED = 26
"""Candidates of one of the agent's tools: it calls each by a letter."""
SHOWN = 3
"""Wrong arguments that an error names."""


def _unpacked(value: object) -> object:
    """Read a list that an assistant wrote as text, as some do."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


List = Annotated[list[T], BeforeValidator(_unpacked)]


class Arguments(BaseModel):
    """Arguments of a tool: unknown ones are refused; a number is taken for an id, as ids often look."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Verdict(Arguments):
    """One item that somebody liked or disliked."""

    item: Name = Field(description="id or title")
    liked: bool


class Find(Arguments):
    """Which items to find."""

    query: str = Field(
        "", max_length=NAME, description="beginnings of words of the title; empty for the best known items"
    )
    k: int = Field(10, ge=1, le=FOUND, description="how many at most")


class OfUser(Arguments):
    """A user of the data set."""

    user: Name = Field(description="id of a user of the data set")


class UserHistory(OfUser):
    """Whose history, and how much of it."""

    latest: int = Field(50, ge=1, le=HISTORY, description="how many of the latest interactions")


class Asked(Arguments):
    """Who is asked about: a user of the data set, or somebody new by a history."""

    user: Name | None = Field(None, description="id of a user of the data set; or give `history`")
    history: List[Verdict] | None = Field(
        None,
        max_length=HISTORY,
        description="what somebody who is not in the data set liked and disliked, oldest first; or give "
        "`user`",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Asked:
        if (self.user is None) == (self.history is None):
            raise ValueError("user, history: give exactly one of the two")
        return self


class Score(Asked):
    """What to score."""

    items: List[Name] = Field(min_length=1, max_length=CANDIDATES, description="ids or titles, each once")


class Recommend(Asked):
    """What to rank, and how much of it to return."""

    k: int = Field(10, ge=1, le=BEST, description=f"how many; with `why` at most {TOLD}")
    candidates: List[Name] | None = Field(
        None,
        min_length=1,
        max_length=CANDIDATES,
        description="ids or titles to choose from; omit for all items, or for a language model the best of "
        "an encoder",
    )
    retriever: str | None = Field(
        None,
        max_length=40,
        description="instead of `candidates`: an encoder and how many of its best items to rank, such as "
        f"lightgcn:20; the fewer, the faster, at most {CANDIDATES}; 200 where nothing is said",
    )
    why: bool = Field(False, description="generate a reason for each item; only a language model can; slow")

    @model_validator(mode="after")
    def _affordable(self) -> Recommend:
        if self.candidates is not None and self.retriever is not None:
            raise ValueError("candidates, retriever: give at most one of the two")
        count = (self.retriever or "").partition(":")[2]
        if count.isdecimal() and int(count) > CANDIDATES:
            raise ValueError(f"retriever: ranks at most {CANDIDATES}, not {int(count)}")
        if self.why and self.k > TOLD:
            raise ValueError(f"k: with reasons at most {TOLD}, not {self.k}")
        return self


class Explain(Asked):
    """What to explain."""

    item: Name = Field(description="id or title")


class Search(Asked):
    """What to look for in a history."""

    query: str = Field(
        "",
        max_length=NAME,
        description="words that the title or the attributes must contain; empty for all items",
    )


Candidates = Annotated[
    List[Name],
    Field(
        min_length=1, max_length=COMPARED, description="ids or titles of the candidates to compare, each once"
    ),
]


class Compare(Arguments):
    """Candidates, whoever asks."""

    items: Candidates


class CompareFor(Asked):
    """Candidates for a user or a history."""

    items: Candidates


class CompareForUser(OfUser):
    """Candidates for a user of the data set."""

    items: Candidates


def wrong(error: ValidationError) -> str:
    """Return what is wrong with arguments, each argument by its name."""
    parts = []
    for each in error.errors(include_url=False, include_input=False)[:SHOWN]:
        place = ".".join(str(part) for part in each["loc"])[:60]
        parts.append(f"{place}: {words(each)}" if place else words(each))
    return "; ".join(parts)


def schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of arguments or answers, without the docstrings of their classes."""
    found = kind.model_json_schema()
    for each in (found, *found.get("$defs", {}).values()):
        each.pop("description", None)
    return found

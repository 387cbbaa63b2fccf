"""What requests and answers of the HTTP interface hold, with bounds; its description is made of these."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from thinkrec.serve.limits import BEST, CANDIDATES, FOUND, HISTORY, NAME, TOLD
from thinkrec.systems.answers import Explanation, Mixture, Scores


def _finite(given: object) -> object:
    """Refuse what Python reads as a number that is none: NaN, or 1e400, which is infinite."""
    if isinstance(given, float) and not math.isfinite(given):
        raise ValueError("must be text or a finite number")
    return given


Name = Annotated[str, Field(min_length=1, max_length=NAME), BeforeValidator(_finite)]
Shortlist = Annotated[str, Field(pattern=r"^[A-Za-z_]{1,40}:[0-9]+$")]

Listed = Annotated[list[Name], Field(min_length=1, max_length=CANDIDATES)]
Among = Annotated[
    Annotated[Listed, Tag("<list>")] | Annotated[Shortlist, Tag("<encoder>")],
    Discriminator(lambda given: {str: "<encoder>", list: "<list>"}.get(type(given))),
]
"""A list of items, or an encoder; an error is about the one that was meant, and names it in brackets."""
BRANCHES = ("<list>", "<encoder>")
"""These names in brackets, which no error shows."""
ITEM = "Raw id or title; an id may be a number."
USER = "Raw id of a user of the data set; it may be a number."


class Asked(BaseModel):
    """Part of a request: unknown keys are refused; a number is taken for an id, as ids often look."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Verdict(Asked):
    """An item of a history."""

    item: Name = Field(description=ITEM, examples=["i0002"])
    liked: StrictBool = Field(description="Whether it was liked.", examples=[True])


class Whose(Asked):
    """About whom: a user of the data set, or a history."""

    user: Name | None = Field(None, description=USER, examples=["u0001"])
    history: list[Verdict] | None = Field(
        None,
        max_length=HISTORY,
        description="Interactions of somebody who is not in the data set, oldest first.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.user is None) == (self.history is None):
            raise ValueError("give either user or history")
        return self


class ScoreRequest(Whose):
    """Score items."""

    items: list[Name] = Field(
        min_length=1,
        max_length=CANDIDATES,
        description="Raw ids or titles; ids may be numbers.",
        examples=[["i0007", "i0009"]],
    )


class RecommendRequest(Whose):
    """Rank candidates, best first."""

    k: int = Field(10, ge=1, le=BEST, strict=True, description="How many of the best.")
    candidates: Among | None = Field(
        None,
        description="Raw ids, which may be numbers, or titles; or an encoder with a count, whose best they "
        f"are, at most {CANDIDATES}, such as `lightgcn:200`; without, as the server was started.",
        examples=["lightgcn:50"],
    )
    why: StrictBool = Field(False, description=f"Generate a reason for each; then k is at most {TOLD}.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.why and self.k > TOLD:
            raise ValueError(f"k is {self.k}: with why it is at most {TOLD}")
        return self


class ExplainRequest(Whose):
    """Explain the score of one item."""

    item: Name = Field(description=ITEM, examples=["i0007"])


class ItemsQuery(Asked):
    """Which items to find."""

    query: str = Field("", max_length=NAME, description="Beginnings of words.")
    k: int = Field(10, ge=1, le=FOUND, description="How many at most.")


class UsersQuery(Asked):
    """Which users to find."""

    query: str = Field("", max_length=NAME, description="Beginning of a raw id.")
    k: int = Field(10, ge=1, le=FOUND, description="How many at most.")


class HistoryQuery(Asked):
    """Whose history to show."""

    user: Name = Field(description="Raw id of a user of the data set.")


class Item(BaseModel):
    """An item."""

    item: str = Field(description="Raw id.")
    title: str


class Scored(Item):
    """An item with its score."""

    score: float = Field(description="Higher means more likely liked; comparable within one system only.")
    reason: str | None = Field(None, description="The language model's own words, verdict first.")


class Rated(Item):
    """An item of a history."""

    liked: bool


class Moved(Rated):
    """An item of a history, and what it did to a score."""

    moved: float = Field(description="Score less the score without it: above 0, it raised the score.")


class Part(BaseModel):
    """A part of the mixture that the gate chose."""

    part: str
    weight: float = Field(description="All weights sum to 1.")


class Answer(BaseModel):
    """What every answer says."""

    system: str
    dataset: str
    user: str | None
    basis: str = Field(description="What the scores know of the user.")
    mixture: list[Part] | None = Field(description="The gate's decision; null from a system without experts.")


class ScoresAnswer(Answer):
    """Items with scores."""

    items: list[Scored]

    @classmethod
    def of(cls, scores: Scores) -> Self:
        """Take over what a system answered."""
        return cls(
            system=scores.system,
            dataset=scores.dataset,
            user=scores.user,
            basis=scores.basis,
            mixture=_parts(scores.mixture),
            items=[Scored(**row) for row in scores.rows()],
        )


class ExplainAnswer(Answer):
    """Why one item has its score."""

    item: str
    title: str
    score: float
    reason: str | None
    history: list[Moved] = Field(description="What moved the score most comes first.")

    @classmethod
    def of(cls, found: Explanation) -> Self:
        """Take over what a system answered."""
        return cls(
            system=found.system,
            dataset=found.dataset,
            user=found.user,
            basis=found.basis,
            mixture=_parts(found.mixture),
            item=found.item,
            title=found.title,
            score=found.score,
            reason=found.reason,
            history=[
                Moved(item=each.item, title=each.title, liked=each.liked, moved=each.moved)
                for each in found.history
            ],
        )


class ItemsAnswer(BaseModel):
    """Items that were found."""

    items: list[Item]


class UsersAnswer(BaseModel):
    """Raw ids of users that were found."""

    users: list[str]


class HistoryAnswer(BaseModel):
    """A user's latest interactions, oldest first."""

    user: str
    history: list[Rated]


class AboutAnswer(BaseModel):
    """What the server answers with."""

    system: str
    dataset: str
    kind: str = Field(description="floor, encoder, trees or language model")
    reasons: bool = Field(description="Whether the system says why.")
    candidates: str | None = Field(description="The default of /recommend; null: all items.")
    items: int
    users: int


class HealthAnswer(BaseModel):
    """Whether the server answers."""

    status: str
    token: bool = Field(description="Whether a token is needed.")


class ErrorAnswer(BaseModel):
    """Why there is no answer."""

    error: str


def _parts(mixture: Mixture | None) -> list[Part] | None:
    if mixture is None:
        return None
    names = ("global LoRA", *(f"expert {k}" for k in range(1, len(mixture.weights))))
    return [Part(part=name, weight=weight) for name, weight in zip(names, mixture.weights, strict=True)]

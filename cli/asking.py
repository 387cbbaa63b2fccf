"""Shared by `recommend` and `explain`: who is asked about, and how an answer is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from thinkrec_cli.common import system_option

if TYPE_CHECKING:
    from thinkrec.recommender import Recommender
    from thinkrec.systems.answers import Explanation, Scores

Command = TypeVar("Command", bound=Callable[..., Any])


def who(command: Command) -> Command:
    """Add the options that say who is asked about and by which system."""
    for option in (
        system_option,
        click.option("--dislike", "disliked", multiple=True, metavar="ITEM", help="As --like; repeatable."),
        click.option(
            "--like",
            "liked",
            multiple=True,
            metavar="ITEM",
            help="For somebody who is not in the data set: id or title of an item that they like; "
            "repeatable. Dislikes count as the older ones, each in the order given.",
        ),
        click.option("--user", metavar="ID", help="Raw id of a user of the data set."),
    ):
        command = option(command)
    return command


def verdicts(rec: Recommender, liked: tuple[str, ...], disliked: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Return the history of somebody who is in no data set, by raw ids, oldest first.

    Raises:
        RequestError: an item is unknown, or a title is of several items.
    """
    return [(rec.item(name), False) for name in disliked] + [(rec.item(name), True) for name in liked]


def one_of(user: str | None, liked: tuple[str, ...], disliked: tuple[str, ...], *others: object) -> None:
    """Check that exactly one way to say who is asked about was taken.

    Raises:
        UsageError: none was taken, or several.
    """
    ways = [user is not None, bool(liked or disliked), *(other is not None for other in others)]
    if sum(ways) != 1:
        more = ", --users FILE" if others else ""
        raise click.UsageError(f"Say who it is for, in one way: --user ID, --like and --dislike{more}.")


def scores_json(answer: Scores) -> dict[str, Any]:
    """Return an answer as plain values for JSON."""
    return {
        "system": answer.system,
        "dataset": answer.dataset,
        "user": answer.user,
        "basis": answer.basis,
        "mixture": answer.mixture and answer.mixture.weights,
        "items": answer.rows(),
    }


def explanation_json(answer: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values for JSON."""
    from dataclasses import asdict

    return asdict(answer) | {"mixture": answer.mixture and answer.mixture.weights}


def whose(rec: Recommender, user: str | None, history: list[tuple[str, bool]]) -> str:
    """Say for whom an answer is: of somebody new, what they like and dislike, by titles."""
    if user is not None:
        return f"user {user}"
    said = [
        f"{word} {', '.join(titles)}"
        for word, titles in (
            (verb, [rec.title(item) for item, liked in history if liked is side])
            for verb, side in (("likes", True), ("dislikes", False))
        )
        if titles
    ]
    return f"somebody who {' and '.join(said)}"


def footer(answer: Scores | Explanation) -> str:
    """Say what an answer rests on."""
    text = f"{answer.system} on {answer.dataset}, from {answer.basis}"
    return text if answer.mixture is None else f"{text}; gate: {answer.mixture}"

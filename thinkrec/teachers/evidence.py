"""What a history says for and against a target: keywords it shares with liked and with disliked items."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thinkrec.teachers.protocol import Case


@dataclass(frozen=True)
class Match:
    """A history item that shares keywords with the target, in the order of the target's keywords."""

    title: str
    shared: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """The balance of a case.

    Args:
        liked: matches the user liked, the most telling first.
        disliked: matches the user did not like, the most telling first.
        likes: liked items of the history.
        count: items of the history.
        log_odds: of a like, by naive Bayes over the shared keywords.
    """

    liked: tuple[Match, ...]
    disliked: tuple[Match, ...]
    likes: int
    count: int
    log_odds: float


def _leans(case: Case, likes: int) -> dict[str, float]:
    """How much each target keyword that the history has speaks for a like (log ratio, add-one smoothing)."""
    dislikes = len(case.history) - likes
    held = [({word.casefold() for word in seen.item.keywords}, seen.liked) for seen in case.history]
    leans = {}
    for word in dict.fromkeys(keyword.casefold() for keyword in case.target.keywords):
        judged = [liked for words, liked in held if word in words]
        if judged:
            liked = sum(judged)
            leans[word] = math.log((liked + 1) / (likes + 2) * (dislikes + 2) / (len(judged) - liked + 1))
    return leans


def _matches(case: Case, leans: dict[str, float], liked: bool) -> tuple[Match, ...]:
    found = []
    for seen in reversed(case.history):  # the latest first, so that ties go to what is fresh
        words = {word.casefold() for word in seen.item.keywords}
        shared = tuple(word for word in leans if word in words)
        if seen.liked == liked and shared:
            found.append(Match(seen.item.title, shared))
    side = 1 if liked else -1
    return tuple(sorted(found, key=lambda match: -side * sum(leans[word] for word in match.shared)))


def weigh(case: Case) -> Evidence:
    """Collect the evidence of a case; nothing but its history and keywords is read.

    The odds are naive Bayes with add-one smoothing: the user's habit, times what each keyword adds.
    """
    likes = sum(seen.liked for seen in case.history)
    leans = _leans(case, likes)
    habit = math.log((likes + 1) / (len(case.history) - likes + 1))
    return Evidence(
        liked=_matches(case, leans, True),
        disliked=_matches(case, leans, False),
        likes=likes,
        count=len(case.history),
        log_odds=habit + sum(leans.values()),
    )

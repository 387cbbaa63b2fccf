"""Evidence for and against a target: the keywords it shares with liked and with disliked items."""

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
    """The evidence of a case.

    Args:
        liked: matches among liked items, the strongest first.
        disliked: matches among disliked items, the strongest first.
        likes: number of liked items in the history.
        count: number of items in the history.
        log_odds: of a like, by naive Bayes over the shared keywords.
    """

    liked: tuple[Match, ...]
    disliked: tuple[Match, ...]
    likes: int
    count: int
    log_odds: float


def _log_ratios(case: Case, likes: int) -> dict[str, float]:
    """Return the log-likelihood ratio of a like for each shared target keyword (add-one smoothing)."""
    dislikes = len(case.history) - likes
    history = [({word.casefold() for word in rated.item.keywords}, rated.liked) for rated in case.history]
    ratios = {}
    for word in dict.fromkeys(keyword.casefold() for keyword in case.target.keywords):
        verdicts = [liked for words, liked in history if word in words]
        if verdicts:
            liked = sum(verdicts)
            ratios[word] = math.log((liked + 1) / (likes + 2) * (dislikes + 2) / (len(verdicts) - liked + 1))
    return ratios


def _matches(case: Case, ratios: dict[str, float], liked: bool) -> tuple[Match, ...]:
    """Return the matches with this verdict, the strongest first, ties by recency."""
    matches = []
    for rated in reversed(case.history):  # the latest first; the sort is stable
        words = {word.casefold() for word in rated.item.keywords}
        shared = tuple(word for word in ratios if word in words)
        if rated.liked == liked and shared:
            matches.append(Match(rated.item.title, shared))
    sign = 1 if liked else -1
    return tuple(sorted(matches, key=lambda match: -sign * sum(ratios[word] for word in match.shared)))


def weigh(case: Case) -> Evidence:
    """Return the evidence of a case, from its history and keywords alone.

    The odds are naive Bayes with add-one smoothing: the user's prior times the ratio of each keyword.
    """
    likes = sum(rated.liked for rated in case.history)
    ratios = _log_ratios(case, likes)
    prior = math.log((likes + 1) / (len(case.history) - likes + 1))
    return Evidence(
        liked=_matches(case, ratios, True),
        disliked=_matches(case, ratios, False),
        likes=likes,
        count=len(case.history),
        log_odds=prior + sum(ratios.values()),
    )

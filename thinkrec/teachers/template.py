"""The built-in teacher. It is no language model: it fills sentences with what the history shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from thinkrec.teachers.evidence import Evidence, Match, weigh
from thinkrec.teachers.protocol import Answer, Case, Turn
from thinkrec.teachers.text import fingerprint, first_words, pick

TITLE_WORDS = 8

SUPPORT = {
    True: (
        "This user liked {items}, and {target} has the same {words} to offer.",
        "Among the liked items are {items}; {target} takes up {words} again.",
        "{target} shares {words} with what the user enjoyed before: {items}.",
        "The user has been pleased by {items}, so the {words} of {target} should appeal.",
    ),
    False: (
        "This user did not like {items}, and {target} brings the same {words}.",
        "Among the disliked items are {items}; {target} takes up {words} again.",
        "{target} shares {words} with what the user turned down before: {items}.",
        "The user was let down by {items}, so the {words} of {target} should not appeal.",
    ),
}
COUNTER = {
    True: (
        "Against it speaks {items}, which they disliked.",
        "They disliked {items}, which calls for some caution.",
        "A doubt remains because {items} did not please them.",
    ),
    False: (
        "For it speaks {items}, which they liked.",
        "They did like {items}, which leaves some room for hope.",
        "A chance remains because {items} pleased them.",
    ),
}
NOTHING = (
    "Nothing in the history shares a keyword with {target}; what counts is how easily this user is pleased.",
    "{target} has no keyword in common with the earlier items, which leaves the user's general habit.",
    "No earlier item resembles {target} in its keywords; only the user's overall mood can tell.",
)
HABIT = (
    "They {habit}.",
    "As a rule of thumb: they {habit}.",
    "What is known is that they {habit}.",
)
MODEST = {
    True: (
        "They {habit}, but tastes vary, and something of this kind can still win them over.",
        "Although they {habit}, tastes vary, and this may be an exception; it may well please them.",
    ),
    False: (
        "They {habit}, yet tastes vary, and nothing here gives them a special reason to care.",
        "Although they {habit}, tastes vary, and this may be an exception; it may well leave them cold.",
    ),
}
END = {
    True: (
        "So it will probably be enjoyed.",
        "On the whole it fits their taste.",
        "That makes a like more likely than not.",
        "They would likely enjoy it.",
    ),
    False: (
        "So it will probably not be enjoyed.",
        "On the whole it does not fit their taste.",
        "That makes a dislike more likely than not.",
        "They would likely not enjoy it.",
    ),
}


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _quoted(title: str) -> str:
    short = first_words(title, TITLE_WORDS)
    return f'"{short}"' if short == title else f'"{short} …"'


def _items(matches: Sequence[Match]) -> str:
    return _joined([f"{_quoted(match.title)} ({', '.join(match.shared[:3])})" for match in matches])


def _habit(evidence: Evidence, liking: bool) -> str:
    """How often they liked (or disliked) what they judged, to follow `they`."""
    hits = evidence.likes if liking else evidence.count - evidence.likes
    if not hits:
        liking, hits = not liking, evidence.count
    verb = "liked" if liking else "disliked"
    if evidence.count < 2:
        return f"{verb} the only item known of them" if evidence.count else "have judged nothing so far"
    every = "both" if hits == 2 else f"all {hits}"
    amount = (
        f"{every} of their latest" if hits == evidence.count else f"{hits} of their latest {evidence.count}"
    )
    return f"{verb} {amount} items"


def argue(case: Case, verdict: bool, variant: str) -> str:
    """Give the reason for a verdict in 20 to 60 words, out of the history alone.

    Items that share keywords and were judged that way come first; where there are none, the user's habit;
    where that speaks for the other verdict, that tastes vary. One item of the other side is owned up to.

    Args:
        case: history and target.
        verdict: what is argued for.
        variant: chooses among the phrasings.
    """

    def phrase(options: tuple[str, ...]) -> str:
        return pick(options, case.key, variant, options[0])

    evidence = weigh(case)
    support, against = (evidence.liked, evidence.disliked) if verdict else (evidence.disliked, evidence.liked)
    target = _quoted(case.target.title)
    counter = phrase(COUNTER[verdict]).format(items=_items(against[:1])) if against else ""
    if support:
        shown = support[:2]
        words = _joined(list(dict.fromkeys(word for match in shown for word in match.shared))[:3])
        main = phrase(SUPPORT[verdict]).format(items=_items(shown), target=target, words=words)
        return " ".join(filter(None, (main, counter, phrase(END[verdict]))))
    opening = counter or phrase(NOTHING).format(target=target)
    if (2 * evidence.likes >= evidence.count) == verdict:
        return f"{opening} {phrase(HABIT).format(habit=_habit(evidence, verdict))} {phrase(END[verdict])}"
    return f"{opening} {phrase(MODEST[verdict]).format(habit=_habit(evidence, not verdict))}"


@dataclass(frozen=True)
class TemplateTeacher:
    """Decides by naive Bayes over shared keywords, argues by phrases. Deterministic for a seed."""

    seed: int
    name: str = "template"
    concurrency: int = 1

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        """Answer by its own evidence, or for the side that it was told."""
        told = [turn.truth for turn in turns if turn.truth is not None]
        verdict = told[-1] if told else weigh(case).log_odds >= 0
        reasoning = argue(case, verdict, f"{self.seed}:{len(turns)}")
        request = [self.name, self.seed, asdict(case), [turn.reply for turn in turns]]
        return Answer(verdict, reasoning, reasoning, fingerprint(request))

"""The built-in teacher: no language model, but sentence templates filled with evidence from the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from thinkrec.teachers.evidence import Evidence, Match, weigh
from thinkrec.teachers.protocol import Answer, Case, Turn
from thinkrec.teachers.text import fingerprint, first_words, pick

TITLE_WORDS = 8

SUPPORT = {
    True: (
        "This user liked {items}, and {target} offers the same {words}.",
        "The liked items include {items}, and {target} has {words} in common with them.",
        "{target} shares {words} with items that the user enjoyed: {items}.",
        "The user enjoyed {items}, so the {words} of {target} should appeal.",
    ),
    False: (
        "This user disliked {items}, and {target} offers the same {words}.",
        "The disliked items include {items}, and {target} has {words} in common with them.",
        "{target} shares {words} with items that the user did not enjoy: {items}.",
        "The user was disappointed by {items}, so the {words} of {target} should not appeal.",
    ),
}
COUNTER = {
    True: (
        "Their dislike of {items} speaks against it.",
        "They disliked {items}, which calls for some caution.",
        "They did not enjoy {items}, so some doubt remains.",
    ),
    False: (
        "Their liking for {items} speaks in its favour.",
        "They liked {items}, which leaves some hope.",
        "They enjoyed {items}, so some chance remains.",
    ),
}
NOTHING = (
    "No item in the history shares a keyword with {target}, so only the user's overall habit helps.",
    "{target} has no keyword in common with the history, which leaves the user's general habit.",
    "None of the earlier items resembles {target} in its keywords, so the user's past verdicts decide.",
)
HABIT = (
    "They {habit}.",
    "In general, they {habit}.",
    "Overall, they {habit}.",
)
MODEST = {
    True: (
        "They {habit}, but tastes vary, and an item of this kind may still win them over.",
        "Although they {habit}, tastes vary, and this one may be an exception that they enjoy.",
    ),
    False: (
        "They {habit}, but tastes vary, and nothing here gives them a particular reason to care.",
        "Although they {habit}, tastes vary, and this one may be an exception that leaves them cold.",
    ),
}
END = {
    True: (
        "So they will probably enjoy it.",
        "Overall, it fits their taste.",
        "A like is therefore more likely than not.",
        "They would probably like it.",
    ),
    False: (
        "So they will probably not enjoy it.",
        "Overall, it does not fit their taste.",
        "A dislike is therefore more likely than not.",
        "They would probably not like it.",
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
    """Return how many of their items they liked (or disliked), as a phrase that follows `they`."""
    hits = evidence.likes if liking else evidence.count - evidence.likes
    if not hits:
        liking, hits = not liking, evidence.count
    verb = "liked" if liking else "disliked"
    if evidence.count < 2:
        return f"{verb} the only item in their history" if evidence.count else "have not rated anything yet"
    every = "both" if hits == 2 else f"all {hits}"
    amount = (
        f"{every} of their latest" if hits == evidence.count else f"{hits} of their latest {evidence.count}"
    )
    return f"{verb} {amount} items"


def argue(case: Case, verdict: bool, variant: str) -> str:
    """Return the reason for a verdict in 20 to 60 words, from the history alone.

    The reason cites history items with the same verdict that share keywords with the target; if there are
    none, the user's habit; if that contradicts the verdict, that tastes vary. One counterexample is conceded.

    Args:
        case: history and target.
        verdict: what to argue for.
        variant: selects the phrasings.
    """

    def phrase(options: tuple[str, ...]) -> str:
        return pick(options, case.key, variant, options[0])

    evidence = weigh(case)
    support, against = (evidence.liked, evidence.disliked) if verdict else (evidence.disliked, evidence.liked)
    target = _quoted(case.target.title)
    counter = phrase(COUNTER[verdict]).format(items=_items(against[:1])) if against else ""
    if support:
        cited = support[:2]
        words = _joined(list(dict.fromkeys(word for match in cited for word in match.shared))[:3])
        main = phrase(SUPPORT[verdict]).format(items=_items(cited), target=target, words=words)
        return " ".join(filter(None, (main, counter, phrase(END[verdict]))))
    opening = counter or phrase(NOTHING).format(target=target)
    if (2 * evidence.likes >= evidence.count) == verdict:
        return f"{opening} {phrase(HABIT).format(habit=_habit(evidence, verdict))} {phrase(END[verdict])}"
    return f"{opening} {phrase(MODEST[verdict]).format(habit=_habit(evidence, not verdict))}"


@dataclass(frozen=True)
class TemplateTeacher:
    """Decides by naive Bayes over shared keywords and argues from templates; deterministic for a seed."""

    seed: int
    name: str = "template"
    concurrency: int = 1

    def answer(self, case: Case, turns: Sequence[Turn]) -> Answer:
        """Answer by its own evidence, or argue for the label of the last hint."""
        hints = [turn.truth for turn in turns if turn.truth is not None]
        verdict = hints[-1] if hints else weigh(case).log_odds >= 0
        reasoning = argue(case, verdict, f"{self.seed}:{len(turns)}")
        request = [self.name, self.seed, asdict(case), [turn.reply for turn in turns]]
        return Answer(verdict, reasoning, reasoning, fingerprint(request))

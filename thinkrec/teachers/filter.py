"""Detect rationales that reveal the hint: they would teach the student to refer to what it never sees."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ANSWER = r"(?:answer|label|verdict|outcome|response|result|rating|preference)"
_THOUGHT = rf"(?:{_ANSWER}|assessment|reasoning|analysis|judge?ment|conclusion|prediction)"
_PERSON = r"(?:the|this) (?:user|reader|viewer|person|customer)|they|he|she"
_LEAKS = {
    "names the given answer": [
        rf"\b(?:correct|right|true|actual|real|expected|given|provided|stated|known)\s+{_ANSWER}\b",
        r"\bground[- ]truth\b",
        rf"\bthe {_ANSWER} (?:is|was|should be|must be|has to be) [\W_]?(?:yes|no)\b",
        rf"\b(?:given|knowing|since|because|considering|seeing) (?:that )?(?:{_PERSON}) "
        r"(?:(?:actually|really|in fact|indeed|truly) )?(?:did (?:not )?|didn't )?"
        r"(?:lik|enjoy|dislik|lov|hat)\w+ (?:it|this (?:item|one|title|film|movie|book|place))\b",
        r"\b(?:it turns out|as it turned out|in reality) (?:that )?(?:the user|they|he|she)\b",
    ],
    "refers to the conversation": [
        r"\bas you (?:\w+ )?(?:told|said|mentioned|pointed|noted|stated|indicated"
        r"|corrected|explained|informed)",
        r"\byou(?:'ve| have)? (?:told|informed|corrected|reminded) (?:me|us)\b",
        r"\b(?:your|the) (?:hint|correction|feedback|remark)\b",
        r"\byou(?:'re| are) (?:right|correct)\b",
        r"\b(?:thank you|thanks) for\b",
    ],
    "revises an earlier answer": [
        rf"\bmy (?:\w+ )?(?:{_THOUGHT}|mistake|error)\b",
        rf"\b(?:previous|earlier|first|initial|prior|last|original) {_THOUGHT}\b",
        r"\bi (?:had |have )?(?:overlooked|missed|misjudged|underestimated|overestimated)\b",
        r"\bi (?:apologi[sz]e|stand corrected)\b",
        r"\bi (?:was|were|am) (?:wrong|mistaken)\b",
        r"\b(?:up)?on (?:further |second |closer )?(?:reflection|thought|reconsideration)\b",
    ],
}
_PATTERNS = {reason: re.compile("|".join(patterns), re.IGNORECASE) for reason, patterns in _LEAKS.items()}


def hint_leak(rationale: str, titles: Iterable[str] = ()) -> str | None:
    """Return how a rationale reveals that its writer was given the answer, or None if it does not.

    Args:
        rationale: the reasoning.
        titles: titles that it may quote; a film called "The Right Answer" reveals nothing.
    """
    for title in sorted(filter(None, titles), key=len, reverse=True):
        rationale = rationale.replace(title, "…")
    return next((reason for reason, pattern in _PATTERNS.items() if pattern.search(rationale)), None)

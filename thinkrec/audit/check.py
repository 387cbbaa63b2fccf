"""What one proof says: passed, FAILED, or not applicable, and on what figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["passed", "FAILED", "not applicable"]


@dataclass(frozen=True)
class Check:
    """One claim about one artifact, and what became of it.

    Args:
        artifact: what was looked at: interactions, histories, ...
        claim: what should hold, in a few words.
        verdict: whether it does.
        said: what was found; of a failed check what is wrong and what to do.
        figures: counts behind it, JSON-able.
    """

    artifact: str
    claim: str
    verdict: Verdict
    said: str
    figures: dict[str, Any] = field(default_factory=dict)


def judged(artifact: str, claim: str, faults: Sequence[str], said: str, **figures: Any) -> Check:
    """Passed, with `said`, where there is no fault; FAILED, with the faults, where there is one."""
    if faults:
        return Check(artifact, claim, "FAILED", "; ".join(faults), figures)
    return Check(artifact, claim, "passed", said, figures)


def skipped(artifact: str, claim: str, why: str, **figures: Any) -> Check:
    """Not applicable, for this reason."""
    return Check(artifact, claim, "not applicable", why, figures)


def some(count: int, what: str, example: str = "") -> list[str]:
    """A fault of `count` cases, with an example of one; no fault when there are none."""
    return [f"{count:,} {what}" + (f", the first at {example}" if example else "")] if count else []

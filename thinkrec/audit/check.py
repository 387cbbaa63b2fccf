"""Results of checks: passed, FAILED, or not applicable, with figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["passed", "FAILED", "not applicable"]


@dataclass(frozen=True)
class Check:
    """The result of checking a claim about an artifact.

    Args:
        artifact: its kind: interactions, histories, ...
        claim: what should hold, in a few words.
        verdict: whether it holds.
        said: the finding; for a failed check, what is wrong and what to do.
        figures: counts behind it, as JSON values.
    """

    artifact: str
    claim: str
    verdict: Verdict
    said: str
    figures: dict[str, Any] = field(default_factory=dict)


def judged(artifact: str, claim: str, faults: Sequence[str], summary: str, **figures: Any) -> Check:
    """Make a check: passed with `summary` if there are no faults, else FAILED with the faults."""
    if faults:
        return Check(artifact, claim, "FAILED", "; ".join(faults), figures)
    return Check(artifact, claim, "passed", summary, figures)


def skipped(artifact: str, claim: str, why: str, **figures: Any) -> Check:
    """Make a check that is not applicable, and why."""
    return Check(artifact, claim, "not applicable", why, figures)


def fault(count: int, what: str, example: str = "") -> list[str]:
    """Describe a fault of `count` cases with an example, as a list; empty if there are none."""
    return [f"{count:,} {what}" + (f", the first at {example}" if example else "")] if count else []

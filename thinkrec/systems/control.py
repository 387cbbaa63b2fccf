"""The shuffled control: what a system's UAUC is worth where the labels of the scored split say nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.metrics.bootstrap import MIN_USERS, mean_interval
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.ranking import ranking_metrics, rounded
from thinkrec.metrics.running import MINUS_RUNNING_MEAN, shuffled
from thinkrec.progress import Bar
from thinkrec.protocols import Protocol
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System

DRAWS = 3
"""Permutations in evaluate (our choice): as many scorings of test of each system that reads its labels. The
interval hardly changes with more: it is one over users."""
RESAMPLES = 1000
"""Bootstrap resamples of users behind an interval (our choice)."""


@dataclass(frozen=True)
class Control:
    """A system's UAUC on test with the labels permuted within each user.

    Shapes: U users with rows of both classes.

    Args:
        by_user: each user's AUC, averaged over the draws, [U].
        draws: number of permutations.
        rows: number of test rows.
        moved: how many of their scores change when the labels of test do: all turned round, or permuted
            within users. None under rolling histories, which hold test's labels.
        seed: of the bootstrap.
    """

    by_user: np.ndarray
    draws: int
    rows: int
    moved: int | None
    seed: int

    @property
    def uauc(self) -> float | None:
        """The mean over users; None if no user has both classes."""
        return float(self.by_user.mean()) if len(self.by_user) else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval by bootstrap over users; None with fewer than MIN_USERS of them."""
        users = len(self.by_user)
        if users < MIN_USERS:
            return None
        return mean_interval(self.by_user, np.ones(users), RESAMPLES, self.seed)

    def wide(self, share: float = 0.999) -> tuple[float, float] | None:
        """Compute a wider interval of the mean, by Student's t; None with fewer than MIN_USERS users.

        Percentiles of a bootstrap are too narrow so far out.
        """
        from scipy.stats import t

        users = len(self.by_user)
        if users < MIN_USERS:
            return None
        half = float(t.ppf((1 + share) / 2, users - 1) * self.by_user.std(ddof=1) / np.sqrt(users))
        middle = float(self.by_user.mean())
        return middle - half, middle + half

    def entry(self) -> dict[str, Any]:
        """The control as metrics.json has it."""
        low, high = self.interval or (None, None)
        figures = {"uauc": self.uauc, "uauc_low": low, "uauc_high": high}
        return {"draws": self.draws, **{name: rounded(value) for name, value in figures.items()}}


def shuffled_control(
    system: System, data: Interactions, protocol: Protocol, seed: int, draws: int = DRAWS
) -> Control:
    """Measure a system where nothing is left to know: test's labels are permuted within each user.

    Rolling histories hold the permuted labels, and the system is scored again on each draw, unless it reads
    no history. Under the other protocols no label of test may be read: it is scored once, once more with all
    of test's labels turned round, and once more with the first permutation. Where no score changes, these are
    its scores on every draw, only the labels that they are measured against move, and each user's AUC is .5
    in expectation. That says nothing of what a system learned in training: other checks of the audit do.

    Args:
        system: what scores.
        data: the interactions.
        protocol: what histories hold.
        seed: of the first permutation; the next have seed + 1, ...
        draws: number of permutations, 1 or more.
    """
    rows = data.rows("test")

    def score(label: np.ndarray) -> np.ndarray:
        return system.score(Candidates.of_rows(replace(data, label=label), rows, protocol))

    found, moved, reads = None, None, len(rows) > 0 and system.history_length != 0
    if protocol != "rolling" or not reads:
        found = score(data.label) if len(rows) else np.empty(0)
    if protocol != "rolling" and len(rows):
        turned = data.label.copy()
        turned[rows] = 1 - turned[rows]
        others = [score(label) for label in (turned, shuffled(data, rows, seed).label)]
        moved = int(np.any([other != found for other in others], axis=0).sum())
        reads = moved > 0
    by_draw = []
    for number in range(seed, seed + draws):
        label = shuffled(data, rows, number).label
        scores = score(label) if reads or found is None else found
        by_draw.append(ranking_metrics(data.user_id[rows], label[rows], scores).per_user["uauc"])
    mean = np.mean(by_draw, axis=0)  # [users of test]; permuting keeps both classes or one, and so NaN
    return Control(mean[~np.isnan(mean)], draws, len(rows), moved, seed)


def cheap(names: Iterable[str], protocol: Protocol) -> list[str]:
    """The floors under a protocol, and those of the named systems that are no language model."""
    floors = (*FLOORS, MINUS_RUNNING_MEAN) if protocol == "rolling" else FLOORS
    known = (name for name in names if name in SYSTEMS and name not in floors)
    return [*floors, *(name for name in known if SYSTEMS[name].kind not in ("language model", "floor"))]


def cheap_controls(
    project: Project, names: Iterable[str], protocols: Iterable[Protocol]
) -> dict[Protocol, dict[str, dict[str, Any]]]:
    """Measure the control of floors and of the named systems that cost little, by protocol and system."""
    asked = [(protocol, name) for protocol in protocols for name in cheap(list(names), protocol)]
    found: dict[Protocol, dict[str, dict[str, Any]]] = {}
    for protocol, name in Bar(asked, desc="shuffled control", unit="system", leave=False):
        control = shuffled_control(project.system(name), project.data, protocol, project.params.seed)
        found.setdefault(protocol, {})[name] = control.entry()
    return found

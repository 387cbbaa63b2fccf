"""Systems as functions that score rows of any interactions, true or spoiled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinkrec.audit.scores import Scorer
from thinkrec.audit.vectors import encoders
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError
from thinkrec.layout import require
from thinkrec.protocols import Protocol
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System, needs_of


def load_systems(project: Project, named: Sequence[str]) -> dict[str, System]:
    """Load the systems to audit: existing encoders and trees, and the named systems of the language model.

    Raises:
        ConfigError: the language model has no system of that name.
        MissingInputError: a part of a named system is missing.
    """
    language = [name for name, entry in SYSTEMS.items() if entry.kind == "language model"]
    for name in named:
        if name not in language:
            known = ", ".join(language)
            raise ConfigError(f"--systems: the language model has no system {name!r}; there are {known}")
    layout = project.layout
    require(layout, *needs_of(project.params, named))
    trees = [name for name, entry in SYSTEMS.items() if entry.kind == "trees" and layout.baselines.exists()]
    return {name: project.system(name) for name in (*encoders(layout), *trees, *named)}


def scorer(system: System) -> Scorer:
    """Wrap a system as a function."""

    def score(data: Interactions, rows: np.ndarray, protocol: Protocol) -> np.ndarray:
        return system.score(Candidates.of_rows(data, rows, protocol))

    return score

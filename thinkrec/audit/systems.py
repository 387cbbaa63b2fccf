"""Systems as functions that score rows of any interactions: of those on disk, or of spoiled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinkrec.audit.scores import Scorer
from thinkrec.audit.vectors import encoders
from thinkrec.data.tables import HistoryMode, Interactions
from thinkrec.errors import ConfigError
from thinkrec.layout import require
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System, needs_of


def systems_there(project: Project, named: Sequence[str]) -> dict[str, System]:
    """Load what is audited: encoders and trees that are there, the language model's systems that are named.

    Raises:
        ConfigError: the language model has no system of a name.
        MissingInputError: a part of a named system is not there.
    """
    language = [name for name, entry in SYSTEMS.items() if entry.kind == "language model"]
    for name in named:
        if name not in language:
            there_are = ", ".join(language)
            raise ConfigError(f"--systems: the language model has no system {name!r}; there are {there_are}")
    layout = project.layout
    require(layout, *needs_of(project.params, named))
    trees = [name for name, entry in SYSTEMS.items() if entry.kind == "trees" and layout.baselines.exists()]
    return {name: project.system(name) for name in (*encoders(layout), *trees, *named)}


def scorer(system: System) -> Scorer:
    """A system as a function."""

    def score(data: Interactions, rows: np.ndarray, mode: HistoryMode) -> np.ndarray:
        return system.score(Candidates.of_rows(data, rows, mode))

    return score

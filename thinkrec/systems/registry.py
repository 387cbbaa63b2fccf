"""The registry: every system by its name, what it is, and which artifacts it needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from thinkrec.config.names import ENCODERS
from thinkrec.config.sections import Params
from thinkrec.config.tree import dumped
from thinkrec.errors import ConfigError
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN, train_mean
from thinkrec.systems.parts import LANGUAGE
from thinkrec.variants import RENAMED

if TYPE_CHECKING:
    from thinkrec.systems.candidates import Candidates
    from thinkrec.systems.project import Project

Kind = Literal["floor", "encoder", "trees", "language model"]


class System(Protocol):
    """Whatever scores."""

    @property
    def history_length(self) -> int | None:
        """How many of the latest interactions scores may change with; None: all, 0: none."""

    def prepare(self) -> None:
        """Load every part now.

        Raises:
            ModelError: a part can't be used.
        """

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user: of one of the data set, or of somebody new."""

    def score(self, candidates: Candidates) -> np.ndarray:
        """Score candidates, [n] float32; higher means rather liked.

        Raises:
            ModelError: a part can't be used, or a score is no finite number.
        """

    def seeds(self) -> dict[int, System]:
        """The same trained with further seeds, by seed."""


@dataclass(frozen=True)
class Entry:
    """A row of the registry.

    Args:
        name: of the system.
        kind: what it is.
        needs: its artifacts, besides the interactions; `{key}` is a value of params.yaml.
        load: reads it from a project.
        reasons: whether it says why.
    """

    name: str
    kind: Kind
    needs: tuple[str, ...]
    load: Callable[[Project], System]
    reasons: bool = False


def _floor(name: str, project: Project) -> System:
    from thinkrec.systems.floors import Floor

    return Floor(project.floors, name)


def _minus_running_mean(project: Project) -> System:
    from thinkrec.systems.floors import MinusRunningMean

    return MinusRunningMean(train_mean(project.data))


def _encoder(name: str, project: Project) -> System:
    from thinkrec.systems.encoders import EncoderSystem

    return EncoderSystem(project.layout.encoder(name))


def _trees(project: Project) -> System:
    from thinkrec.systems.trees import Trees

    return Trees.of(project)


def _language(name: str, project: Project) -> System:
    from thinkrec.systems.language import LanguageModel

    return LanguageModel(project, name)


SYSTEMS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        *(Entry(name, "floor", (), partial(_floor, name)) for name in FLOORS),
        Entry(MINUS_RUNNING_MEAN, "floor", (), _minus_running_mean),
        *(Entry(name, "encoder", (f"encoders/{name}",), partial(_encoder, name)) for name in ENCODERS),
        Entry("gbdt", "trees", ("baselines",), _trees),
        *(
            Entry(name, "language model", parts.needs, partial(_language, name), parts.reasons)
            for name, parts in LANGUAGE.items()
        ),
    )
}
"""All systems, in the order in which tables show them."""


def entry(name: str, key: str = "system") -> Entry:
    """Find a system in the registry.

    Args:
        name: of the system.
        key: what named it, for the error.

    Raises:
        ConfigError: there is none of that name.
    """
    if name == RENAMED[0]:
        raise ConfigError(f"{key}: {name!r} is now called {RENAMED[1]!r}")
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1)
        hint = f"; did you mean {near[0]!r}? There are" if near else "; there are"
        raise ConfigError(f"{key}: no system is called {name!r}{hint} {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def needs_of_stage(params: Params, stage: str) -> list[str]:
    """Artifacts that the systems of a stage need, where its section of params.yaml names some."""
    section = dumped(params).get(stage)
    return needs_of(params, params.named(section.get("systems", ())) if isinstance(section, dict) else ())


def speakers(names: Iterable[str]) -> list[str]:
    """The systems whose reasons are generated: all that were trained to say why."""
    return [name for name in names if name in SYSTEMS and SYSTEMS[name].reasons]


def speaker(names: Iterable[str]) -> str | None:
    """The first system that was trained to say why: others are compared with it."""
    return next(iter(speakers(names)), None)


def needs_of(params: Params, names: Iterable[str]) -> list[str]:
    """Artifacts that these systems need besides the interactions, each once.

    Args:
        params: whose values stand in their names.
        names: of systems; those of others are passed over.
    """
    every = dumped(params)

    def value(match: re.Match[str]) -> str:
        section, _, key = match[1].partition(".")
        return str(every[section][key])

    artifacts = (artifact for name in names if name in SYSTEMS for artifact in SYSTEMS[name].needs)
    return list(dict.fromkeys(re.sub(r"\{(.+)\}", value, each) for each in artifacts))

"""Findings: what was looked at, whether it is a problem, and the remedy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from thinkrec.config.sections import Params

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the result.

    Args:
        state: ok; note: works, but worth knowing; problem: something will fail or be wrong.
        what: what was found.
        remedy: what to do, "" if there is nothing.
        group: what it is about, such as `packages`; `diagnose` sets it.
    """

    state: State
    what: str
    remedy: str = ""
    group: str = ""


def ok(what: str) -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", what)


def note(what: str, remedy: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding("note", what, remedy)


def problem(what: str, remedy: str) -> Finding:
    """Return a finding of something that will fail or be wrong."""
    return Finding("problem", what, remedy)


@dataclass(frozen=True)
class Expected:
    """What the installed version of thinkrec writes into projects.

    Args:
        check: raises a ConfigError if a project's dvc.yaml, of this edition, is not what params.yaml needs.
        projects: returns the texts that dvc.yaml has in projects made by `thinkrec init`.
        clone: returns the text of dvc.yaml in the clone.
        code: returns the fingerprint of each stage's code, by its path in a project.
    """

    check: Callable[[Path, str], None]
    projects: Callable[[], Collection[str]]
    clone: Callable[[], str]
    code: Callable[[], Mapping[Path, str]]


@dataclass(frozen=True)
class Case:
    """What is looked at.

    Args:
        root: the project's root.
        params: the content of params.yaml; None if there is none, or it is invalid.
        expected: returns what this version writes; None: dvc.yaml is not compared.
        network: whether endpoints, and the sources of missing weights, are asked for an answer.
        status: `dvc status`, already running; None where it can't run.
    """

    root: Path
    params: Params | None = None
    expected: Callable[[], Expected] | None = None
    network: bool = True
    status: subprocess.Popen[str] | None = None

    @property
    def given(self) -> Params:
        """The parameters, for checks that are left out without them."""
        assert self.params is not None
        return self.params

    @property
    def started(self) -> bool:
        """Whether any stage of any data set has ended here."""
        return any(self.root.glob("data/*/manifests/*.json"))


def split(message: str) -> tuple[str, str]:
    """Split an error's message into what is wrong and what to do, behind the last colon or semicolon."""
    what, _, remedy = max(
        (message.rpartition(sign) for sign in (": ", "; ")), key=lambda parts: len(parts[0])
    )
    return (what, remedy) if what else (message, "")


def size(count: float) -> str:
    """Format a number of bytes, such as `1.5 GB`."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"

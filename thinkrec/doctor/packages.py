"""Python and the packages that thinkrec needs, by the metadata of what is installed."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from thinkrec.doctor.finding import Case, Finding, note, ok, problem, split
from thinkrec.layout import Layout

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GROUP = "packages"
LOCK = "requirements.lock"
_EXTRAS = {
    "s3": "raw files and DVC remotes at s3:// addresses",
    "serve": "`thinkrec serve` and `thinkrec mcp`",
}
_NAMED = 3
"""Most packages that a line names."""


def packages(case: Case) -> Iterator[Finding]:
    """Compare the installed versions with those that thinkrec needs."""
    from packaging.requirements import Requirement

    try:
        own = metadata.metadata("thinkrec")
    except metadata.PackageNotFoundError:
        yield problem("thinkrec is not installed as a package", "run `pip install -e .` in the clone")
        return
    yield from _python(own["Requires-Python"] or "")
    wanted = [Requirement(line) for line in metadata.requires("thinkrec") or []]
    always = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    faults = [(each, fault) for each in always if (fault := _fault(each))]
    for each, fault in faults:
        yield problem(fault, f"run `{_command(case.root, [each])}`")
    if not faults:
        yield ok(f"thinkrec {own['Version']}, and all {len(always)} packages that it needs")
    for extra, purpose in _EXTRAS.items():
        some = [each for each in wanted if each.marker and each.marker.evaluate({"extra": extra})]
        if missing := [each for each in some if each not in always and _fault(each)]:
            names = ", ".join(each.name for each in missing)
            yield note(
                f"for {purpose} something is missing: {names}",
                f"if you want that, run `{_command(case.root, missing)}`",
            )
    yield from _pinned(case.root)


def tracker(case: Case) -> Iterator[Finding]:
    """Check that the tracker of `report_to` is installed."""
    from thinkrec.errors import ConfigError
    from thinkrec.llm.tracking import Tracking

    try:
        Tracking.of(Layout(next(iter(case.given.datasets))), case.given, "global")
    except ConfigError as error:
        yield problem(*split(str(error)))


def _python(wanted: str) -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield ok(f"Python {version} on {platform.system()} ({platform.machine()})")
    else:
        yield problem(
            f"Python {version}: thinkrec needs {wanted}",
            "make a new environment with such a Python, and install thinkrec there",
        )


def installed(name: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fault(wanted: Requirement) -> str:
    """Say what is wrong with a package, "" if nothing is."""
    version = installed(wanted.name)
    if version is None:
        return f"{wanted.name} is not installed"
    if not wanted.specifier.contains(version, prereleases=True):
        return f"{wanted.name} {version}: thinkrec needs {wanted.specifier}"
    return ""


def _command(root: Path, wanted: list[Requirement]) -> str:
    pinned = f" -c {LOCK}" if (root / LOCK).is_file() else ""
    return f"pip install{pinned} {' '.join(_quoted(each) for each in wanted)}"


def _quoted(wanted: Requirement) -> str:
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return f"'{wanted.name}{extras}{wanted.specifier}'"


def _pinned(root: Path) -> Iterator[Finding]:
    """Compare with the versions of the clone's requirements.lock, where results were measured."""
    if not (root / LOCK).is_file():
        return
    lines = (root / LOCK).read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(";")[0].strip().split("==", 1) for line in lines if re.match(r"[\w.-]+==", line))
    others = [
        f"{name} {version} (pinned: {pin})"
        for name, pin in pins.items()
        if (version := installed(name)) and version.partition("+")[0] != pin
    ]
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        yield note(
            f"not the versions of {LOCK}: {', '.join(others[:_NAMED])}{more}",
            f"for the very figures of the docs, run `pip install -c {LOCK} -e .`",
        )

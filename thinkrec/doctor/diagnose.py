"""All checks, one after the other; none of them can end the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from thinkrec.doctor import data, endpoints, machine, packages, pipeline, project, weights
from thinkrec.doctor.finding import Case, Expected, Finding, problem, split
from thinkrec.errors import ThinkrecError

if TYPE_CHECKING:
    from thinkrec.config.sections import Params

Check = Callable[[Case], Iterator[Finding]]
ALWAYS: tuple[tuple[str, Check], ...] = (
    (packages.GROUP, packages.packages),
    (machine.GROUP, machine.gpus),
    (machine.GROUP, machine.cores),
    (machine.GROUP, machine.dtype),
    (machine.GROUP, machine.memory),
    (machine.GROUP, machine.disk),
)
"""Groups and checks that need no project."""
WITH_PARAMS: tuple[tuple[str, Check], ...] = (
    (packages.GROUP, packages.tracker),
    (machine.GROUP, machine.model_memory),
    (machine.GROUP, machine.four_bit),
    (data.GROUP, data.raw_files),
    (data.GROUP, data.stages),
    (data.GROUP, data.running),
    (weights.GROUP, weights.language_models),
    (weights.GROUP, weights.reasons),
    (endpoints.GROUP, endpoints.endpoints),
)
"""Those that need valid parameters."""
IN_PROJECT: tuple[tuple[str, Check], ...] = ((project.GROUP, project.pipeline),)
"""Those that need a params.yaml, which may be invalid."""
LAST: tuple[tuple[str, Check], ...] = ((pipeline.GROUP, pipeline.git_and_dvc),)
"""What has been running beside the others."""
ORDER = (
    packages.GROUP, machine.GROUP, project.GROUP, data.GROUP, weights.GROUP, endpoints.GROUP, pipeline.GROUP,
)  # fmt: skip
"""Groups in the order in which they are shown."""


def diagnose(
    root: Path = Path(), expected: Callable[[], Expected] | None = None, network: bool = True
) -> list[Finding]:
    """Look at the installation, the machine and the project, and write nothing.

    Never raises: a check that fails becomes a finding. DVC keeps its own locks in .dvc/tmp meanwhile.

    Args:
        root: the project's folder; without a params.yaml in it, only the machine is looked at.
        expected: returns what this version of thinkrec writes into projects.
        network: ask endpoints, and where weights are missing the hub, for an answer within 3 s.

    Returns:
        The findings, in the order of ORDER; their texts hold no key, password or query of an address.
    """
    is_project = os.path.lexists(root / project.PARAMS)
    status = pipeline.start_status(root) if is_project else None  # beside the other checks
    try:
        params, lines = _params(root)
        found = [replace(each, group=project.GROUP) for each in lines]
        case = Case(root, params, expected, network, status)
        _hide(params)
        checks = [*ALWAYS, *(WITH_PARAMS if params else ()), *((*IN_PROJECT, *LAST) if is_project else ())]
        for group, check in checks:
            found += [replace(each, group=group) for each in _results(check, case)]
    finally:
        if status and status.poll() is None:
            status.kill()
            status.wait()
    return [_clean(each) for each in sorted(found, key=lambda each: ORDER.index(each.group))]


def _results(check: Check, case: Case) -> Iterator[Finding]:
    try:
        yield from check(case)
    except Exception as error:
        yield _failed(check.__name__, error)


def _failed(check: str, error: Exception) -> Finding:
    if isinstance(error, ThinkrecError):
        return problem(*split(str(error)))
    said = f"{check.replace('_', ' ')}: this check failed ({type(error).__name__}: {error})"
    if isinstance(error, ImportError):
        return problem(said, "install the packages that the lines above name")
    return problem(said, "correct that if you can; otherwise report it")


def _params(root: Path) -> tuple[Params | None, list[Finding]]:
    try:
        return project.read_params(root)
    except Exception as error:
        return None, [_failed("params", error)]


def _hide(params: Params | None) -> None:
    """Register the keys and credentials of all endpoints, so that no text shows them."""
    if params is None:
        return
    from thinkrec.config.secrets import credentials
    from thinkrec.teachers.redact import hide, hide_url

    for section in (params.summarize, params.synthesize, params.trajectories):
        endpoint = section.endpoint
        hide_url(endpoint.base_url)
        hide(*credentials(endpoint.extra_body), *os.environ.get(endpoint.key_variable, "").split())


def _clean(finding: Finding) -> Finding:
    from thinkrec.teachers.redact import one_line

    return replace(finding, what=one_line(finding.what), remedy=one_line(finding.remedy))

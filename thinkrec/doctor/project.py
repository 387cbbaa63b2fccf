"""The project: params.yaml, dvc.yaml, and the version of thinkrec that made it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from thinkrec.doctor.finding import Case, Expected, Finding, note, ok, problem, split

if TYPE_CHECKING:
    from thinkrec.config.sections import Params

GROUP = "project"
PARAMS, PIPELINE = "params.yaml", "dvc.yaml"
_EDITION = re.compile(r"thinkrec code --edition (\w+)")


def read_params(root: Path) -> tuple[Params | None, list[Finding]]:
    """Read params.yaml, and name all of its errors.

    Returns:
        The parameters, None if there are none or they can't be used; and the findings.
    """
    from thinkrec.config.load import load_params
    from thinkrec.config.problems import later_at_odds
    from thinkrec.errors import ConfigError

    path = root / PARAMS
    if not path.exists() and not path.is_symlink():
        said = f"there is no {PARAMS} in {path.absolute().parent}: only the machine was looked at"
        return None, [note(said, "run this in a project, or make one by `thinkrec init FOLDER`")]
    try:
        params = load_params(path)
    except ConfigError as error:
        return None, _errors(error)
    found = []
    try:
        load_params(path, stage="prep")
    except ConfigError as error:
        found += _errors(error)
    lines = [line for name in params.datasets for line in later_at_odds(params, name)]
    found += [_wrong(line) for line in dict.fromkeys(lines)]
    return params, found or [ok(f"{PARAMS} is valid: {', '.join(params.datasets)}")]


def _errors(error: Exception) -> list[Finding]:
    first, *lines = str(error).split("\n  ")
    return [_wrong(line) for line in lines] or [problem(*split(first))]


def _wrong(line: str) -> Finding:
    return problem(f"{PARAMS}: {line}", f"correct that in {PARAMS}")


def pipeline(case: Case) -> Iterator[Finding]:
    """Compare dvc.yaml and the fingerprints of code with what this version writes."""
    path = case.root / PIPELINE
    if case.params is None:
        said = "data, weights and endpoints were not looked at, which needs a valid params.yaml"
        yield note(said, f"correct {PARAMS}, then run this again")
    if case.expected is None:
        return
    if not path.is_file():
        said = f"there is no {PIPELINE}: `dvc repro` can't run, the commands can"
        yield note(said, "make a project by `thinkrec init FOLDER`, and copy params.yaml there")
        return
    expected, text = case.expected(), path.read_text(encoding="utf-8")
    if found := _EDITION.search(text):
        yield _of_project(case, text, found[1], expected)
        if case.started:
            yield from _code(case.root, text, expected)
    elif text == expected.clone():
        yield ok(f"{PIPELINE} is the clone's, of this version")
    else:
        yield problem(
            f"{PIPELINE} is not what this version makes of its table of stages",
            "in the clone, run `python -m thinkrec_cli.pipeline`",
        )


def _of_project(case: Case, text: str, edition: str, expected: Expected) -> Finding:
    from thinkrec.errors import ConfigError

    try:
        if case.params:  # what is wrong there has lines of its own
            expected.check(case.root, edition)
    except ConfigError as error:
        return problem(*split(str(error)))
    if text in expected.projects():
        return ok(f"{PIPELINE} is of this version")
    return note(
        f"{PIPELINE} was changed by hand, or made by another version",
        "`thinkrec init --upgrade .` makes it again, without your changes",
    )


def _code(root: Path, text: str, expected: Expected) -> Iterator[Finding]:
    """Name the stages of dvc.yaml whose code has changed since it was last written down."""
    used = {path: now for path, now in expected.code().items() if path.as_posix() in text}
    if changed := [path.stem for path, now in used.items() if _text(root / path) != now]:
        yield note(
            f"another version of thinkrec ran here: the code of {', '.join(changed)} has changed",
            "`dvc repro` runs these stages again; `thinkrec code` and `dvc status` show it beforehand",
        )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""

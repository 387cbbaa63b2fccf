"""git and DVC: whether they are there, and which stages `dvc repro` would run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from thinkrec.doctor import project
from thinkrec.doctor.finding import Case, Finding, note, ok, problem

GROUP = "pipeline"
LIMIT = 3.0
"""Seconds to wait for git, and for `dvc status` once all other checks are done (our choice)."""
STATUS = """
import json, logging, sys
from dvc.repo import Repo

logging.disable()
try:
    said = {"stages": Repo(sys.argv[1]).status()}
except Exception as error:
    said = {"error": type(error).__name__, "text": str(error), "file": getattr(error, "filename", None)}
print(json.dumps(said))
"""
"""Python's library of DVC: unlike its command, it neither looks for updates nor sends statistics."""
_CODE = "code"
"""The stage that `dvc repro` always begins with."""
_NAMED = 4
"""Most files that a line names."""
_GONE = ("deleted", "not in cache")
_NO_YAML = ("YAMLSyntaxError", "YAMLFileCorruptedError")
_BROKEN = re.compile(r"unable to read: '([^']+)'")
_CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.M)


def start_status(root: Path) -> subprocess.Popen[str] | None:
    """Start `dvc status`, whose only traces are DVC's own locks in .dvc/tmp; None where it can't run."""
    if not (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        return None
    try:
        return subprocess.Popen(
            [sys.executable, "-c", STATUS, str(root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except OSError:  # no process can be started
        return None


def git_and_dvc(case: Case) -> Iterator[Finding]:
    """Look for git and a repository, and report which stages `dvc repro` would run, and why."""
    own, said = _git(case.root), _answer(case)
    if isinstance(said, dict) and said.get("error") == "SCMError":  # DVC finds no repository either
        yield problem(f"{own.what}; DVC can't work so", own.remedy or "run `dvc status` to see why")
        return
    yield own
    if isinstance(said, Finding):
        yield said
    elif said and "error" in said:
        yield _unanswered(case, said)
    elif said and not case.started:
        yield ok("DVC reads the pipeline; all of its stages are to run")
    elif said and not (case.root / "dvc.lock").is_file():
        yield note("`dvc repro` has not run here yet", "run it, or the stages one by one")
    elif said:
        yield from changes({name: why for name, why in said["stages"].items() if name != _CODE}, case.root)


def _git(root: Path) -> Finding:
    """Look for git, and a repository."""
    if shutil.which("git") is None:
        return note("git is not installed, which `thinkrec init` and DVC use", "install git")
    done = subprocess.run(
        ["git", "rev-parse", "--is-inside-work-tree"],
        cwd=root, capture_output=True, check=False, timeout=LIMIT, text=True, errors="replace",
    )  # fmt: skip
    if "dubious ownership" in done.stderr:
        return note(
            "the folder's git repository belongs to another user, so git refuses it",
            f"run `git config --global --add safe.directory {root.absolute()}` if you trust it",
        )
    if done.returncode:
        return note("this folder is in no git repository, so nothing keeps its history", "run `git init`")
    return ok("the folder is in a git repository")


def _answer(case: Case) -> Finding | dict[str, Any] | None:
    """Return what `dvc status` says, or why it says nothing; None without a pipeline."""
    if not (case.root / "dvc.yaml").is_file():
        return None
    if not (case.root / ".dvc").is_dir():
        return problem(
            "DVC is not initialised here", "run `dvc init`, or below a repository's root `dvc init --subdir`"
        )
    if case.status is None:
        return note("`dvc status` could not be started", "run it by hand")
    try:
        said: dict[str, Any] = json.loads(case.status.communicate(timeout=LIMIT)[0])
    except subprocess.TimeoutExpired:
        return note(
            "DVC did not know its state in time, since it hashes large files",
            "run `dvc status`, which remembers their hashes",
        )
    except ValueError:
        return problem("`dvc status` ended without an answer", "run it to see why")
    return said


def _unanswered(case: Case, said: dict[str, Any]) -> Finding:
    """Name the remedy of an error of DVC.

    Args:
        case: what is looked at.
        said: the error's class, its text, and the file that it names.
    """
    kind, text, name = said["error"], said["text"], said["file"]
    of_params = kind == "ResolveError" or project.PARAMS in text
    if of_params and case.params is None:
        return note(
            f"DVC's state is not known without a valid {project.PARAMS}", "correct it as the lines above say"
        )
    what = f"DVC can't tell its state ({kind}: {text})"
    if kind == "FileNotFoundError" and name:
        return problem(
            f"DVC can't tell its state: {name}, on which a stage depends, is not there",
            "put it back, or remove the link that leads there",
        )
    if kind == "LockError":
        return note(what, "wait until the other process of DVC has ended")
    if of_params:
        return problem(what, f"correct in {project.PARAMS} what it names")
    if kind in _NO_YAML and (broken := _BROKEN.search(text)):
        return _no_yaml(case.root / broken[1])
    return problem(what, "run `dvc status -v`, which shows more")


def _no_yaml(path: Path) -> Finding:
    """Name the remedy for a file of DVC's that can't be read."""
    from thinkrec.config.text import git_has

    what = f"DVC can't tell its state: {path.name} "
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if _CONFLICT.search(text):
        after = "`dvc repro`" if path.suffix == ".lock" else "`dvc status`"
        return problem(
            f"{what}holds conflicts of a merge",
            f"keep one side of each (`git checkout --ours {path.name}` while the merge lasts), then run "
            f"{after}",
        )
    if git_has(path):
        remedy = f"run `git checkout {path.name}`"
    elif path.suffix == ".lock":
        remedy = f"remove {path.name}; `dvc repro` writes it again, and runs all stages for that"
    else:
        remedy = "run `dvc status` to see the line, and correct it"
    return problem(f"{what}is no valid YAML", remedy)


def changes(stages: dict[str, list[Any]], root: Path = Path()) -> Iterator[Finding]:
    """Report stages that would run again: those that changed, those without outputs, those that follow.

    Args:
        stages: what DVC's `status` lists for each.
        root: the project's.
    """
    outputs = {name: _files(why, "changed outs") for name, why in stages.items()}
    made = {file for files in outputs.values() for file in files}
    gone = [
        name
        for name, files in outputs.items()
        if any(state in _GONE and not (root / file).exists() for file, state in files.items())
    ]
    followers: list[str] = []
    uncached: list[str] = []
    for name, why in stages.items():
        causes = {
            file: state for file, state in _files(why, "changed deps").items() if not _among(file, made)
        } | {file: state for file, state in outputs[name].items() if state not in _GONE}
        words = [each for each in why if isinstance(each, str)]
        if causes or words:
            said = ", ".join([*words, *_listed([f"{file} ({state})" for file, state in causes.items()])])
            yield note(f"DVC would run {name} again: {said}", "run `dvc repro`")
        elif name not in gone:
            (followers if _files(why, "changed deps") else uncached).append(name)
    if gone:
        yield note(
            f"DVC: outputs are not here of {', '.join(gone)}",
            "`dvc repro` makes them; `dvc pull` brings them where a remote has them",
        )
    if uncached:
        yield note(
            f"DVC: outputs are here, but are not in DVC's cache, of {', '.join(uncached)}",
            f"run `dvc commit {' '.join(uncached)}`, which puts them there; `dvc repro` would run it all",
        )
    if followers:
        yield note(f"DVC would run {', '.join(followers)} again, which read what changes", "run `dvc repro`")
    if not stages:
        yield ok("DVC: nothing has changed since the last `dvc repro`")


def _among(file: str, others: Iterable[str]) -> bool:
    """Test whether a file is one of others, or contains or lies in one."""
    path = PurePosixPath(file)
    return any(path.is_relative_to(other) or PurePosixPath(other).is_relative_to(path) for other in others)


def _listed(names: list[str]) -> list[str]:
    return [*names[:_NAMED], *([f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else [])]


def _files(why: list[Any], kind: str) -> dict[str, str]:
    """Return the state of each file of a kind; of parameters, the state of each key."""
    found: dict[str, str] = {}
    for each in why:
        for name, state in each.get(kind, {}).items() if isinstance(each, dict) else ():
            keys = state.items() if isinstance(state, dict) else ()
            found |= {f"{name} {key}": str(value) for key, value in keys} or {name: str(state)}
    return found

"""A project outside the clone: a folder with params.yaml and dvc.yaml, for git and DVC."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError, StorageError
from thinkrec.files import storage_errors, whole
from thinkrec_cli.fingerprints import OWN, record
from thinkrec_cli.pipeline import REFRESH, edition, project_pipeline

PARAMS, PIPELINE, IGNORED, DVC = "params.yaml", "dvc.yaml", ".gitignore", ".dvc"
PLOTS = Path(DVC, "plots")
"""Where DVC looks for templates of plots."""
_MAY_BE_THERE = (".git", DVC, ".dvcignore", OWN.name)
"""What a new project's folder may hold: what others make, and what a stopped `thinkrec init` left."""
_IGNORED = """\
.venv*/
# What the stages write: DVC keeps the large, git the small (reports/*/metrics.json and the like).
/data/*/
/models/*/
/reports/*/predictions/
/reports/*/agent/
"""


def create(folder: Path) -> None:
    """Make a folder a project with the default parameters, of which the embedded data set is one.

    Stopped at any moment, it can be run again but for the time of writing three small files.

    Args:
        folder: absent, or empty but for what belongs to git, to DVC or to a virtual environment.

    Raises:
        ConfigError: it is a file, or holds something else; or git is not installed.
        StorageError: it can't be written.
    """
    check_free(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    record(folder)
    with storage_errors(folder):
        _start_git(folder)
        _start_dvc(folder)
    _write_templates(folder)
    _write(folder / IGNORED, _IGNORED)
    _write(folder / PARAMS, params_text(Params()))
    _write(folder / PIPELINE, project_pipeline())


def upgrade(folder: Path) -> list[str]:
    """Write anew what the installed version of thinkrec decides in a project: dvc.yaml and what it names.

    Returns:
        Stages whose code is another than before.

    Raises:
        ConfigError: the folder is no project.
        StorageError: it can't be written.
    """
    check_project(folder)
    _write_templates(folder)
    changed = record(folder)
    _write(folder / PIPELINE, project_pipeline())
    return changed


def check_free(folder: Path) -> None:
    """Check that a folder may become a project.

    Raises:
        ConfigError: it is a file, or holds something else than may be there.
    """
    if folder.is_file():
        raise ConfigError(f"FOLDER: {folder} is a file; name a new or an empty folder")
    with storage_errors(folder):
        there = sorted(_others(folder)) if folder.is_dir() else []
    if PIPELINE in there:
        raise ConfigError(
            f"FOLDER: {folder} holds a {PIPELINE} already: for a new project name a new or an empty folder; "
            f"a project that another version of thinkrec made: `thinkrec init --upgrade {folder}`"
        )
    if there:
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise ConfigError(
            f"FOLDER: {folder} is not empty, it holds {', '.join(there[:3])}{more}: name a new or an empty "
            "folder, then copy into it what you need"
        )


def _others(folder: Path) -> Iterator[str]:
    """What lies in a folder besides what belongs to git, to DVC or to a virtual environment."""
    for path in folder.iterdir():
        if path.name not in _MAY_BE_THERE and not (path / "pyvenv.cfg").is_file():
            yield path.name


def check_project(folder: Path, made: str | None = None) -> None:
    """Check that a folder is a project.

    Args:
        folder: of the project.
        made: the edition of its dvc.yaml, if that should be the installed one.

    Raises:
        ConfigError: `thinkrec init` did not make it, or another version of it made dvc.yaml.
    """
    pipeline = folder / PIPELINE
    if not pipeline.is_file() or REFRESH not in pipeline.read_text(encoding="utf-8"):
        raise ConfigError(
            f"{folder.absolute()} is no project that `thinkrec init` made: name one, go to one, or make one "
            "by `thinkrec init FOLDER`"
        )
    if made and made != edition():
        raise ConfigError(
            f"{pipeline} was made by another version of thinkrec, whose stages are others: "
            "`thinkrec init --upgrade .` makes it again"
        )


def _write_templates(folder: Path) -> None:
    for template in (files("thinkrec_cli") / "plots").iterdir():
        _write(folder / PLOTS / template.name, template.read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    with whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _git(folder: Path, *words: str) -> bool:
    """Run git in a folder and say whether it went well."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ConfigError("git is not installed; install it, then run the same command again") from error
    return done.returncode == 0


def _start_git(folder: Path) -> None:
    """Initialise git, unless the folder lies in a checkout that does not ignore it."""
    inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    ignored = inside and _git(folder, "check-ignore", "--quiet", ".")
    if (ignored or not inside) and not _git(folder, "init", "--quiet"):
        raise StorageError(f"cannot write {folder}: `git init` failed there; run it by hand to see why")


def _start_dvc(folder: Path) -> None:
    """Initialise DVC, which is not to tell anybody that it runs, unless it is there."""
    if (folder / DVC).is_dir():
        return
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with Repo.init(str(folder), subdir=True) as repo, repo.config.edit() as config:
        config["core"]["analytics"] = False

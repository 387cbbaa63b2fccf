"""A project outside the clone: a folder with params.yaml and dvc.yaml, for git and DVC."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from shlex import quote

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError, StorageError
from thinkrec.files import storage_errors, whole
from thinkrec.systems.registry import SYSTEMS
from thinkrec_cli.fingerprints import OWN, record
from thinkrec_cli.pipeline import REFRESH, edition, project_pipeline

PARAMS, PIPELINE, IGNORED, DVC = "params.yaml", "dvc.yaml", ".gitignore", ".dvc"
PLOTS = Path(DVC, "plots")
"""Where DVC looks for plot templates."""
_LANGUAGE_STAGE = "\n  global:\n"
"""Line of dvc.yaml with which a stage of the language model begins."""
_ALLOWED = (".git", DVC, ".dvcignore", OWN.name)
"""What the folder of a new project may contain, such as the results of an interrupted `thinkrec init`."""
_IGNORED = """\
.venv*/
# What the stages write: DVC keeps the large, git the small (reports/*/metrics.json and the like).
/data/*/*
!/data/raw/*.dvc
!/data/raw/.gitignore
/models/*/?*/
/reports/*/predictions/
/reports/*/agent/
"""


def create(
    folder: Path,
    params: Params | None = None,
    links: Mapping[Path, Path] | None = None,
    copied: bool = False,
) -> None:
    """Create a project.

    A folder that was not there is removed again where this fails. It can be run again after an interruption,
    except while it writes links and three small files.

    Args:
        folder: absent, or empty except for what belongs to git, DVC or a virtual environment.
        params: its parameters; None: the default ones, which include the embedded data set.
        links: paths in the project -> raw files that they lead to.
        copied: whether the raw files are copied there instead.

    Raises:
        ConfigError: it is a file or not empty, or git is not installed.
        StorageError: it is not writable.
    """
    check_free(folder)
    params, new = params or Params(), not folder.exists()
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        record(folder)
        with storage_errors(folder):
            _start_git(folder)
            _start_dvc(folder)
        _write_templates(folder)
        for path, target in (links or {}).items():
            with whole(folder / path) as beside:
                if copied:
                    shutil.copyfile(target, beside)
                else:
                    beside.symlink_to(target.absolute())
        _write(folder / IGNORED, _IGNORED)
        _write(folder / PARAMS, params_text(params))
        _write(folder / PIPELINE, project_pipeline(_has_language_model(params)))
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def upgrade(folder: Path) -> list[str]:
    """Regenerate the files of a project that depend on thinkrec's version: dvc.yaml and what it names.

    dvc.yaml has the stages of the language model where params.yaml asks for them; where params.yaml can't be
    read, it has them if it had them before.

    Returns:
        Stages whose code changed.

    Raises:
        ConfigError: the folder is not a project.
        StorageError: it is not writable.
    """
    check_project(folder)
    _write_templates(folder)
    changed = record(folder)
    try:
        language = _has_language_model(load_params(folder / PARAMS))
    except ConfigError:
        language = _LANGUAGE_STAGE in (folder / PIPELINE).read_text(encoding="utf-8")
    _write(folder / PIPELINE, project_pipeline(language))
    return changed


def _has_language_model(params: Params) -> bool:
    """Say whether `evaluate.systems` names a system of the language model, or an agent is trained."""
    named = params.named(params.evaluate.systems)
    return bool(params.agents) or any(
        SYSTEMS[name].kind == "language model" for name in named if name in SYSTEMS
    )


def check_free(folder: Path) -> None:
    """Check that a folder may become a project.

    Raises:
        ConfigError: it is a file or not empty.
    """
    if folder.is_file():
        raise ConfigError(f"FOLDER: {folder} is a file; name a new or an empty folder")
    with storage_errors(folder):
        present = sorted(_others(folder)) if folder.is_dir() else []
    if PIPELINE in present:
        raise ConfigError(
            f"FOLDER: {folder} already has a {PIPELINE}: choose a new or empty folder for a new project, or "
            f"upgrade a project of another version by `thinkrec init --upgrade {quote(str(folder))}`"
        )
    if present:
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        raise ConfigError(
            f"FOLDER: {folder} is not empty, it has {', '.join(present[:3])}{more}: choose a new or empty "
            "folder, then copy what you need into it"
        )


def _others(folder: Path) -> Iterator[str]:
    """Yield what a folder contains besides what belongs to git, DVC or a virtual environment."""
    for path in folder.iterdir():
        if path.name not in _ALLOWED and not (path / "pyvenv.cfg").is_file():
            yield path.name


def check_project(folder: Path, made: str | None = None) -> None:
    """Check that a folder is a project.

    Args:
        folder: of the project.
        made: the edition of its dvc.yaml, to be compared with the installed one; None skips this check.

    Raises:
        ConfigError: it was not made by `thinkrec init`, its dvc.yaml was made by another version, or lacks
            the stages of the language model that params.yaml asks for.
    """
    pipeline = folder / PIPELINE
    if not pipeline.is_file() or REFRESH not in pipeline.read_text(encoding="utf-8"):
        raise ConfigError(
            f"{folder.absolute()} is not a project made by `thinkrec init`: run in a project, or make one by "
            "`thinkrec init FOLDER`"
        )
    plain = edition(language=False)
    if made and made not in (edition(), plain):
        raise ConfigError(
            f"{pipeline} was made by another version of thinkrec with other stages: run `thinkrec init "
            "--upgrade .` to regenerate it"
        )
    if made == plain and _has_language_model(load_params(folder / PARAMS)):
        raise ConfigError(
            f"{pipeline} has no stages for the language model, which `evaluate.systems` or `agents` of "
            f"{PARAMS} asks for: run `thinkrec init --upgrade .` to regenerate it"
        )


def _write_templates(folder: Path) -> None:
    for template in (files("thinkrec_cli") / "plots").iterdir():
        _write(folder / PLOTS / template.name, template.read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    with whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _git(folder: Path, *words: str) -> bool:
    """Run git in a folder and return whether it succeeded."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ConfigError("git is not installed; install it, then run the same command again") from error
    return done.returncode == 0


def _start_git(folder: Path) -> None:
    """Initialise git, unless the folder is in a checkout that does not ignore it."""
    inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    ignored = inside and _git(folder, "check-ignore", "--quiet", ".")
    if (ignored or not inside) and not _git(folder, "init", "--quiet"):
        raise StorageError(f"cannot write {folder}: `git init` failed there; run it by hand to see why")


def _start_dvc(folder: Path) -> None:
    """Initialise DVC, with its analytics turned off, unless the folder has it already."""
    if (folder / DVC).is_dir():
        return
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with Repo.init(str(folder), subdir=True) as repo, repo.config.edit() as config:
        config["core"]["analytics"] = False

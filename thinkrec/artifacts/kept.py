"""DVC's copies of artifacts: the command that restores one without another run of its stage.

DVC's records are read here, since its public API does not tell what its cache holds. `dvc checkout --force`
and `dvc pull` remove what is left of a folder that they can't bring back, so neither is named for one unless
DVC's cache has all of it.
"""

from __future__ import annotations

import hashlib
import shlex
from configparser import ConfigParser, Error
from functools import lru_cache
from pathlib import Path
from typing import Any

from thinkrec.files import read_json


def brings_back(root: Path, path: Path, force: bool, manifest: Path | None = None) -> str:
    """Name the command that brings back what DVC has recorded; "" where it has nothing, or another run's.

    Args:
        root: the project's.
        path: an output of a stage, a path added by `dvc add`, or a path in one.
        force: there are changed files to overwrite, not missing ones alone.
        manifest: of the stage; DVC must have recorded this one, together with the output.
    """
    try:
        return _command(root, path, force, manifest)
    except (OSError, Error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""  # no project of DVC's, or files that it can't read either


def _command(root: Path, path: Path, force: bool, manifest: Path | None) -> str:
    outs = _recorded(root, path)
    place = next((each for each in (path, *path.parents) if each in outs), None)
    if (
        place is None
        or _of_git(root, place)
        or (manifest and outs[manifest] != hashlib.md5(manifest.read_bytes()).hexdigest())
    ):
        return ""
    config, own = ConfigParser(interpolation=None, strict=False), root / ".dvc"
    config.read([own / "config", own / "config.local"], encoding="utf-8")
    cache = own / config.get("cache", "dir", fallback="cache") / "files" / "md5"
    name = shlex.quote(str(place))
    if _whole(cache, outs[place]):
        return f"`dvc checkout {'--force ' * force}{name}`"
    if not any(section.startswith("'remote ") for section in config.sections()):
        return ""
    return f"`dvc fetch {name}` and then this again" if place.exists() else f"`dvc pull {name}`"


def _of_git(root: Path, place: Path) -> bool:
    """Whether DVC notes the hash of an output but leaves keeping it to git: reports, except predictions."""
    inside = place.relative_to(root).parts if place.is_relative_to(root) else ()
    return inside[:1] == ("reports",) and "predictions" not in inside


def _recorded(root: Path, path: Path) -> dict[Path, str]:
    """Return DVC's hash of each output of dvc.lock, and of what `dvc add` has recorded of a path."""
    stages = _parsed((root / "dvc.lock").read_text("utf-8"))["stages"] if (root / "dvc.lock").exists() else {}
    found = {root / each["path"]: each for stage in stages.values() for each in stage.get("outs", [])}
    added = path.with_name(f"{path.name}.dvc")
    if added.is_file():
        found |= {path.parent / each["path"]: each for each in _parsed(added.read_text("utf-8"))["outs"]}
    return {place: str(each["md5"]) for place, each in found.items() if "md5" in each}


@lru_cache(maxsize=2)
def _parsed(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError("is no YAML") from error


def _whole(cache: Path, digest: str) -> bool:
    """Whether the cache has a file, or a folder with all of its files."""
    file = cache / digest[:2] / digest[2:]
    if not file.is_file():
        return False
    return not digest.endswith(".dir") or all(_whole(cache, each["md5"]) for each in read_json(file))

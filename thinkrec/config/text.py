"""The text of params.yaml, read and taken apart, whatever lies there."""

from __future__ import annotations

import os
import stat
import subprocess
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.errors import ConfigError
from thinkrec.files import kind_of

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

LARGEST = 1_000_000
"""Most bytes of params.yaml; the one that comes with the project has some 13,000."""
_VALUES, _LEVELS = 100_000, 50
"""Most values, those that aliases repeat included, and most levels."""
_SHOWN = 200
"""Most characters that a message says of what is in the file."""
_PATIENCE = 3.0
"""Seconds to wait for git (our choice)."""


def read_text(path: Path) -> str:
    """The text of params.yaml.

    Raises:
        ConfigError: there is no such file, it is no file, can't be read, is too large, or is not UTF-8.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path.name} is {kind_of(mode)}, not a file: {restored(path)}")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(_nowhere(path)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path.name} can't be read: {reason}; correct that") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{path.name} has more than {LARGEST:,} bytes: is it another file?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _nowhere(path: Path) -> str:
    if path.is_symlink():
        return f"{path.name} is a link to {path.readlink()}, which is not there: correct the link"
    return (
        f"there is no {path.name} in {path.absolute().parent}: run thinkrec in the project's root, "
        "the folder that holds it"
    )


def place_of(path: Path) -> Path:
    """Where a file that may be a link lies, to write it there and leave the link as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def clean(text: str, most: int = _SHOWN) -> str:
    """A text from the file as a message shows it: on one line, cut, what can't be printed as escapes."""
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}..."


def restored(path: Path) -> str:
    """What brings a lost or damaged file of a project back, as a message's last words."""
    if git_has(path):
        return f"run `git checkout {path.name}`"
    return f"take the {path.name} of a new project, which `thinkrec init FOLDER` makes"


def git_has(path: Path) -> bool:
    """Test whether git keeps a file, at least in the state of the last `git add`."""
    command = ["git", "ls-files", "--error-unmatch", "--", path.name]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):  # no git
        return False
    return done.returncode == 0


def mapping(text: str, path: Path = Path("params.yaml")) -> dict[str, Any]:
    """The sections that the text of a file holds, not checked yet.

    Raises:
        ConfigError: it is no YAML, holds no sections, or more than a params.yaml may.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    name = path.name
    try:
        yaml = YAML(typ="safe", pure=True)
        node = yaml.compose(text)
        _refuse_bulk(node, name)
        given = None if node is None else yaml.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError(
            f"{name} is not valid YAML:{where} {clean(str(error.problem or error.context))}"
        ) from None
    except YAMLError as error:
        raise ConfigError(f"{name} is not valid YAML: {clean(str(error).splitlines()[0])}") from None
    except RecursionError:
        raise ConfigError(_too_much(name)) from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: {_unlike_its_kind(error)}") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{name} holds no sections such as `prep:`: {restored(path)}")
    return {str(key): value for key, value in given.items()}


def _unlike_its_kind(error: Exception) -> str:
    said = clean(str(error))
    if "range" in said or "must be in" in said:
        return f"{said}: a date, such as '2017-10-31', is written in quotes"
    if "digits" in said:
        return "a number has more than 4,300 digits; no key takes one of more than 20"
    return f"a value is not what its tag says ({said}): write it without a tag such as !!int"


def _too_much(name: str) -> str:
    return (
        f"{name} is nested too deep, or its aliases repeat too much: at most {_LEVELS} levels and "
        f"{_VALUES:,} values"
    )


def _refuse_bulk(node: Node | None, name: str) -> None:
    """Refuse what would take forever, or all memory, when aliases are followed.

    Raises:
        ConfigError: more values or levels than any params.yaml has.
    """
    values, levels = _extent(node, {})
    if values > _VALUES or levels > _LEVELS:
        raise ConfigError(_too_much(name))


def _extent(node: Any, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Values and levels of a node, aliases followed; each node is looked at once."""
    inner = getattr(node, "value", None)
    if not isinstance(inner, list):
        return 1, 1
    if id(node) not in known:
        known[id(node)] = (inf, inf)  # what a node that holds itself comes to
        parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
        found = [_extent(part, known) for part in parts]
        known[id(node)] = 1 + sum(count for count, _ in found), 1 + max((n for _, n in found), default=0)
    return known[id(node)]

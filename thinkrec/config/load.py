"""params.yaml, read and checked before any costly work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from thinkrec.config.sections import Params
from thinkrec.config.sources import Source
from thinkrec.errors import ConfigError


def load_params(path: Path = Path("params.yaml"), stage: str | None = None) -> Params:
    """Read params.yaml.

    Args:
        path: the file.
        stage: the stage about to run, whose values must fit the others'.

    Raises:
        ConfigError: there is no such file, it is no YAML, or it holds wrong values: all of them at once.
    """
    from thinkrec.config.problems import at_odds

    params = parse_params(read_text(path), path.name)
    if stage and (lines := at_odds(params, [stage])):
        raise _faulty(path.name, lines)
    return params


def read_text(path: Path) -> str:
    """The text of params.yaml.

    Raises:
        ConfigError: there is no such file, or it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path.name} in {path.absolute().parent}: run thinkrec in the project's root, "
            "the folder that holds it"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None


def parse_params(text: str, name: str = "params.yaml") -> Params:
    """Check the text of params.yaml; `name` is what errors call it.

    Raises:
        ConfigError: as `load_params` without a stage.
    """
    from pydantic import ValidationError

    from thinkrec.config.problems import absent, wrong

    given = _mapping(text, name)
    params, lines = None, []
    try:
        params = Params.model_validate(given)
    except ValidationError as error:
        lines = wrong(error)
    lines += absent(given) + _without_folder(given) + list(_bare_dates(given))
    if lines or params is None:
        raise _faulty(name, lines)
    return params


def _faulty(name: str, lines: list[str]) -> ConfigError:
    count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
    return ConfigError("\n  ".join([f"{name} has {count}:", *lines]))


def _mapping(text: str, name: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        given = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError(f"{name} is no valid YAML:{where} {error.problem or error.context}") from None
    except YAMLError as error:
        raise ConfigError(f"{name} is no valid YAML: {str(error).splitlines()[0]}") from None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}: a date, such as '2017-10-31', is written in quotes") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{name} holds no sections such as `prep:`; `git checkout {name}` brings them back")
    return {str(key): value for key, value in given.items()}


def _without_folder(given: Mapping[str, Any]) -> list[str]:
    """Data sets whose `raw` or `watch` is not written out, or that do not watch a local raw folder.

    dvc.yaml reads `watch` there, as the dependency of prep.
    """
    named = given.get("datasets")
    entries = named.items() if isinstance(named, Mapping) else ()
    return [
        f"datasets.{name}.{fault}"
        for name, entry in entries
        if isinstance(entry, Mapping) and "reader" in entry and (fault := _folder_fault(entry))
    ]


def _bare_dates(given: Any, key: str = "") -> Iterator[str]:
    """Dates without quotes: DVC refuses a params.yaml that holds one, for all of its stages."""
    if isinstance(given, Mapping):
        for name, inner in given.items():
            yield from _bare_dates(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(given, date):
        yield f"{key}: write the date in quotes, '{given}': DVC reads no bare dates"


def _folder_fault(entry: Mapping[str, Any]) -> str | None:
    raw, watch = (entry.get(key) for key in ("raw", "watch"))
    if raw is None:
        return "raw: is missing: the folder of the raw files"
    remote = "://" in str(raw)
    if watch is None:
        usual = "thinkrec/data" if remote else raw
        return f"watch: is missing: what DVC watches, to run prep again; here `watch: {usual}`"
    if not remote and watch != raw:
        return f"watch: must be the raw folder, {raw}, where that is local, not {watch}"
    return None


def dataset_source(params: Params, name: str) -> Source:
    """Where the raw files of a data set lie and how they are read.

    Raises:
        ConfigError: params.yaml names no such data set.
    """
    if name in params.datasets:
        return params.datasets[name]
    known = ", ".join(params.datasets)
    raise ConfigError(
        f"params.yaml names no data set `{name}` (known: {known}); add it under `datasets:` with its reader "
        f"and folder, for example `{name}: {{reader: ml1m, raw: data/raw/{name}, watch: data/raw/{name}}}`"
    )

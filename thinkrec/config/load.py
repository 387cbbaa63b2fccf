"""params.yaml, read and checked before any costly work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from os.path import normpath
from pathlib import Path
from typing import Any

from thinkrec.config.sections import Params
from thinkrec.config.sources import Source
from thinkrec.config.text import clean, mapping, read_text
from thinkrec.errors import ConfigError


def load_params(path: Path = Path("params.yaml"), stage: str | None = None) -> Params:
    """Read params.yaml.

    Args:
        path: the file.
        stage: the stage about to run, whose values must fit the others', and DVC's needs.

    Raises:
        ConfigError: there is no such file, it is no YAML, or it holds wrong values: all of them at once.
    """
    from thinkrec.config.problems import at_odds

    text = read_text(path)
    params = parse_params(text, path)
    if stage and (lines := at_odds(params, [stage]) + _without_tuned(mapping(text, path))):
        raise _faulty(path.name, lines)
    return params


def parse_params(text: str, path: Path = Path("params.yaml")) -> Params:
    """Check the text of params.yaml; `path` is where it lies, whose name errors say.

    Raises:
        ConfigError: as `load_params` without a stage.
    """
    from pydantic import ValidationError

    from thinkrec.config.problems import absent, wrong

    given, name = mapping(text, path), path.name
    params, lines = None, []
    try:
        params = Params.model_validate(given)
    except ValidationError as error:
        lines = wrong(error, given)
    lines += absent(given) + _without_folder(given) + list(_bare_dates(given))
    if lines or params is None:
        raise _faulty(name, lines)
    return params


def _faulty(name: str, lines: list[str]) -> ConfigError:
    count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
    return ConfigError("\n  ".join([f"{name} has {count}:", *lines]))


def _without_folder(given: Mapping[str, Any]) -> list[str]:
    """Data sets whose `raw` or `watch` is not written out, or that do not watch a local raw folder.

    dvc.yaml reads `watch` there, as the dependency of prep.
    """
    named = given.get("datasets")
    entries = dict(named) if isinstance(named, Mapping) else {}
    written = [Path(place, str(name)) for place in ("data", "models", "reports") for name in entries]
    return [
        f"datasets.{clean(str(name), 80)}.{fault}"
        for name, entry in entries.items()
        if isinstance(entry, Mapping) and "reader" in entry and (fault := _folder_fault(entry, written))
    ]


def _without_tuned(given: Mapping[str, Any]) -> list[str]:
    """Data sets without an entry under `tuned`, which dvc.yaml reads even where it holds nothing."""
    return [
        f"tuned.{name}: is missing: write `{name}: {{}}` there, until `thinkrec search` has chosen something"
        for name in given["datasets"]
        if name not in given["tuned"]
    ]


def _bare_dates(given: Any, key: str = "") -> Iterator[str]:
    """Dates without quotes: DVC refuses a params.yaml that holds one, for all of its stages."""
    if isinstance(given, Mapping):
        for name, inner in given.items():
            yield from _bare_dates(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(given, date):
        yield f"{key}: write the date in quotes, '{given}': DVC reads no bare dates"


def _folder_fault(entry: Mapping[str, Any], written: list[Path]) -> str | None:
    """What is wrong with `raw` and `watch`; `written` are the folders that stages write."""
    raw, watch = (entry.get(key) for key in ("raw", "watch"))
    if raw is None:
        return "raw: is missing: the folder of the raw files"
    if not all(isinstance(each, str | None) for each in (raw, watch)):
        return None  # the section says so itself
    remote = "://" in raw
    if watch is None:
        usual = ".dvcignore" if remote else clean(raw)
        return f"watch: is missing: what DVC watches, to run prep again; here `watch: {usual}`"
    if not remote and watch != raw:
        return f"watch: must be the raw folder, {clean(raw)}, where that is local, not {clean(watch)}"
    folder = Path(normpath(raw))
    for place in () if remote else written:
        if place == folder or place in folder.parents or folder in place.parents:
            return (
                f"raw: {clean(raw)} overlaps {place}, which stages write: use a folder such as data/raw/mine"
            )
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

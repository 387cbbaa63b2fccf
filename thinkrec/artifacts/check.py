"""Checks before artifacts are read: they exist, are intact, and match the current inputs and parameters."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.manifest import (
    MODEL,
    Files,
    changed_files,
    describe,
    digest,
    model_files,
    part_of,
    path_of,
    read_manifest,
)
from thinkrec.config.secrets import without_secrets
from thinkrec.config.tree import dumped
from thinkrec.errors import DataError, MissingInputError, ModelError, ThinkrecError
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.pipeline import COMMANDS, MAKERS, STAGES

if TYPE_CHECKING:
    from thinkrec.config.sections import Params

log = logging.getLogger(__name__)
_IGNORED = ("cf.models",)
"""Keys that may differ between two stages: a missing encoder shows by its folder."""


def values_of(params: Params, dataset: str, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values of dotted keys; `.*` is the data set's entry, without the location of its raw files.

    Secrets are dropped or replaced by the beginning of their hash.
    """
    tree, values = dumped(params), {}
    for key in keys:
        value: Any = tree
        for part in key.split("."):
            value = value.get(dataset) if part == "*" else value[part]
        if key == "datasets.*":
            value = {name: each for name, each in value.items() if name not in ("raw", "watch")}
        values[key] = without_secrets(value)
    return values


def inputs_of(name: str, params: Params, extra_inputs: Iterable[str] = ()) -> list[str]:
    """List a command's inputs, with params filled in, without those that none of its systems needs.

    Args:
        name: of the command.
        params: the current parameters.
        extra_inputs: inputs that its systems need.
    """
    stage, tree = STAGES.get(name) or COMMANDS[name], dumped(params)
    systems = set(tree[name]["systems"]) if stage.only_for else set()

    def value(match: re.Match[str]) -> str:
        section, _, key = match[1].partition(".")
        return str(tree[section][key])

    own = [
        re.sub(r"\{(.+)\}", value, each)
        for each in stage.inputs
        if each not in stage.only_for or systems & set(stage.only_for[each])
    ]
    return list(dict.fromkeys([*own, *extra_inputs]))


def check(
    layout: Layout,
    artifacts: Iterable[str],
    params: Params,
    keys: Iterable[str] = (),
    deep: bool = False,
    lineage: bool = True,
) -> dict[str, str]:
    """Check artifacts before they are read, and their lineage.

    Args:
        layout: paths of the artifacts.
        artifacts: their names in `thinkrec.pipeline`.
        params: the current parameters.
        keys: parameters that the reader depends on: artifacts must have been made with the same values. Other
            differences give a warning.
        deep: hash large weights completely, not only their headers.
        lineage: check parameters and inputs as well.

    Returns:
        The digest of each artifact.

    Raises:
        MissingInputError: an artifact does not exist yet.
        DataError: prepared data or predictions are damaged, stale, or of another version or data set.
        ModelError: the same for a model.
    """
    names = list(artifacts)
    manifests: dict[str, dict[str, Any]] = {}
    for name in names:
        maker = MAKERS[name.partition("/")[0]]
        if not path_of(layout, name).exists():
            raise MissingInputError(path_of(layout, name), f"thinkrec {maker} --dataset {layout.dataset}")
    for name in names:
        _gather(layout, MAKERS[name.partition("/")[0]], manifests)
    for stage in (stage for stage in STAGES if stage in manifests):
        own = [name for name in names if MAKERS[name.partition("/")[0]] == stage]
        for name in own:
            _intact(layout, stage, manifests[stage], name, deep)
        if lineage:
            _same_params(layout, stage, manifests[stage], params, tuple(keys))
            _same_inputs(layout, stage, manifests)
    return {name: _digest(manifests, name) for name in names}


def _command(layout: Layout, stage: str) -> str:
    return f"run `thinkrec {stage} --dataset {layout.dataset}` again"


def _error(artifact: str) -> type[ThinkrecError]:
    """Return the error class of an artifact, by its folder."""
    name = artifact.partition("/")[0]
    models = path_of(Layout("x"), name).is_relative_to(Layout("x").models)
    return ModelError if models else DataError


def manifest_of(layout: Layout, stage: str) -> dict[str, Any]:
    """Read the manifest of a stage.

    Raises:
        DataError: it is missing or invalid; names the command that makes it again.
        ModelError: the same for a model.
    """
    path, first = layout.manifest(stage), STAGES[stage].outputs[0]
    try:
        return read_manifest(layout, stage)
    except FileNotFoundError as error:
        raise _error(first)(
            f"{path_of(layout, first)} has no manifest ({path} is missing), so it is unknown what it "
            f"was made from: {_command(layout, stage)}"
        ) from error
    except ValueError as error:
        raise _error(first)(f"{path} {error}: {_command(layout, stage)}") from error


def _gather(layout: Layout, stage: str, manifests: dict[str, dict[str, Any]]) -> None:
    """Read the manifests of a stage and, recursively, of its inputs."""
    if stage in manifests:
        return
    manifests[stage] = manifest_of(layout, stage)
    for name in manifests[stage]["inputs"]:
        _gather(layout, MAKERS[name.partition("/")[0]], manifests)


def _digest(manifests: dict[str, dict[str, Any]], artifact: str) -> str:
    name, _, part = artifact.partition("/")
    return digest(part_of(manifests[MAKERS[name]]["outputs"][name], part))


def _intact(layout: Layout, stage: str, manifest: dict[str, Any], artifact: str, deep: bool) -> None:
    """Compare an artifact's files with its manifest."""
    name, _, part = artifact.partition("/")
    recorded: Files = part_of(manifest["outputs"][name], part)
    path = path_of(layout, artifact)
    inside = {key: each for key, each in recorded.items() if not key.startswith(MODEL)}
    if not inside:
        raise MissingInputError(path, f"thinkrec {stage} --dataset {layout.dataset}")
    try:
        changed = changed_files(inside, describe(path, deep))
    except OSError as error:
        raise _error(artifact)(
            f"{path} can't be read ({error.strerror}): {_command(layout, stage)}"
        ) from error
    if changed:
        first = path / changed[0] if changed[0] else path
        others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise _error(artifact)(
            f"{first}{others}: not as `thinkrec {stage}` wrote it, so it is damaged or was changed by hand: "
            f"{_command(layout, stage)}"
        )
    outside = {key: each for key, each in recorded.items() if key.startswith(MODEL)}
    if outside:
        _same_model(layout, stage, path, outside)


def _same_model(layout: Layout, stage: str, path: Path, recorded: Files) -> None:
    """Compare a backbone's model folder with the manifest."""
    from thinkrec.artifacts.outside import model_folder

    backbone = read_json(path / "backbone.json")
    folder = model_folder(backbone["model"], backbone["revision"])
    changed = changed_files(recorded, model_files(folder)) if folder else sorted(recorded)
    if changed:
        raise ModelError(
            f"{folder or backbone['model']}: {changed[0].removeprefix(MODEL)} has changed since {path} was "
            f"made of that model: {_command(layout, stage)}, and the stages after it"
        )


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{prefix}.{key}")
    else:
        yield prefix, value


def _same_params(
    layout: Layout, stage: str, manifest: dict[str, Any], params: Params, keys: tuple[str, ...]
) -> None:
    """Compare an artifact's parameters with the current ones."""
    recorded = manifest["params"]
    current = values_of(params, layout.dataset, STAGES[stage].params)
    path = path_of(layout, STAGES[stage].outputs[0])
    for section in recorded.keys() & current.keys():
        before, after = dict(_leaves(recorded[section], section)), dict(_leaves(current[section], section))
        for key in sorted(before.keys() & after.keys()):
            if before[key] == after[key] or _under(key, _IGNORED):
                continue
            name = key.replace("*", layout.dataset)
            difference = f"{path} was made with {name}: {before[key]!r}, params.yaml says {after[key]!r} now"
            if _under(key, keys):
                raise _error(STAGES[stage].outputs[0])(
                    f"{difference}: {_command(layout, stage)} and the stages after it, or set it back"
                )
            log.warning("%s; `thinkrec %s --dataset %s` applies that", difference, stage, layout.dataset)


def _under(key: str, others: Iterable[str]) -> bool:
    """Test whether a key is one of others or below one."""
    return any(key == other or key.startswith(f"{other}.") for other in others)


def _same_inputs(layout: Layout, stage: str, manifests: dict[str, dict[str, Any]]) -> None:
    """Compare an artifact's inputs with the current ones."""
    for name, recorded in manifests[stage]["inputs"].items():
        if _digest(manifests, name) != recorded:
            path = path_of(layout, STAGES[stage].outputs[0])
            raise _error(STAGES[stage].outputs[0])(
                f"{path} was made from another {path_of(layout, name)} than there is now: "
                f"{_command(layout, stage)} and the stages after it"
            )


def check_unchanged(layout: Layout, inputs: dict[str, str]) -> None:
    """Check that a stage's inputs have not changed while it ran.

    Raises:
        DataError: another run has replaced one.
    """
    manifests: dict[str, dict[str, Any]] = {}
    for name, recorded in inputs.items():
        maker = MAKERS[name.partition("/")[0]]
        _gather(layout, maker, manifests)
        if _digest(manifests, name) != recorded:
            raise DataError(
                f"{path_of(layout, name)} was made again while this ran, by another `thinkrec {maker}`: run "
                "the same command again"
            )


def iter_faults(layout: Layout, params: Params, keys: Iterable[str], deep: bool) -> Iterator[tuple[str, str]]:
    """Check all existing artifacts; yield name and fault ("" if there is none) of each."""
    for stage in STAGES.values():
        for artifact in stage.outputs:
            if not path_of(layout, artifact).exists():
                continue
            try:
                check(layout, [artifact], params, keys, deep)
            except ThinkrecError as error:
                yield artifact, str(error)
            else:
                yield artifact, ""

"""Before anything is read: artifacts are there, whole, and made from what is there now."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.manifest import (
    MODEL,
    Files,
    describe,
    differing,
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
_FREE = ("cf.models",)
"""Keys that may differ between two stages: an encoder that was not trained is missed by its folder."""


def values_of(params: Params, dataset: str, keys: Iterable[str]) -> dict[str, Any]:
    """The values of dotted keys; `.*` stands for the data set's entry, but where its raw files lie.

    Secrets are left out, or known by the beginning of their hash alone.
    """
    every, found = dumped(params), {}
    for key in keys:
        value: Any = every
        for part in key.split("."):
            value = value.get(dataset) if part == "*" else value[part]
        if key == "datasets.*":
            value = {name: each for name, each in value.items() if name not in ("raw", "watch")}
        found[key] = without_secrets(value)
    return found


def inputs_of(name: str, params: Params, further: Iterable[str] = ()) -> list[str]:
    """Names of a command's inputs, with the values of params in them, without those that no system needs.

    Args:
        name: of the command.
        params: the parameters now.
        further: what its systems need.
    """
    stage, every = STAGES.get(name) or COMMANDS[name], dumped(params)
    systems = set(every[name]["systems"]) if stage.only_for else set()

    def value(found: re.Match[str]) -> str:
        section, _, key = found[1].partition(".")
        return str(every[section][key])

    own = [
        re.sub(r"\{(.+)\}", value, each)
        for each in stage.inputs
        if each not in stage.only_for or systems & set(stage.only_for[each])
    ]
    return list(dict.fromkeys([*own, *further]))


def check(
    layout: Layout,
    artifacts: Iterable[str],
    params: Params,
    keys: Iterable[str] = (),
    deep: bool = False,
    lineage: bool = True,
) -> dict[str, str]:
    """Check artifacts before they are read, and all that they were made from.

    Args:
        layout: where they lie.
        artifacts: their names in `thinkrec.pipeline`.
        params: the parameters now.
        keys: those that whoever reads hangs on: artifacts must have been made with the same values. Where
            others differ there is a warning.
        deep: read large weights as a whole, not their headers alone.
        lineage: check what they were made from as well.

    Returns:
        The digest of each artifact.

    Raises:
        MissingInputError: one is not there yet.
        DataError: prepared data or predictions are damaged, stale, or of another version or data set.
        ModelError: a model is.
    """
    wanted = list(artifacts)
    manifests: dict[str, dict[str, Any]] = {}
    for name in wanted:
        maker = MAKERS[name.partition("/")[0]]
        if not path_of(layout, name).exists():
            raise MissingInputError(path_of(layout, name), f"thinkrec {maker} --dataset {layout.dataset}")
    for name in wanted:
        _gather(layout, MAKERS[name.partition("/")[0]], manifests)
    for stage in (stage for stage in STAGES if stage in manifests):
        own = [name for name in wanted if MAKERS[name.partition("/")[0]] == stage]
        for name in own:
            _intact(layout, stage, manifests[stage], name, deep)
        if lineage:
            _same_params(layout, stage, manifests[stage], params, tuple(keys))
            _same_inputs(layout, stage, manifests)
    return {name: _digest(manifests, name) for name in wanted}


def _command(layout: Layout, stage: str) -> str:
    return f"run `thinkrec {stage} --dataset {layout.dataset}` again"


def _error(artifact: str) -> type[ThinkrecError]:
    """The class of what is wrong with an artifact, by the folder it lies in."""
    name = artifact.partition("/")[0]
    models = path_of(Layout("x"), name).is_relative_to(Layout("x").models)
    return ModelError if models else DataError


def manifest_of(layout: Layout, stage: str) -> dict[str, Any]:
    """Read the manifest of a stage.

    Raises:
        DataError: there is none, or it can't be trusted; says which command makes it again.
        ModelError: the same of a model's.
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
    """Read the manifests of a stage and of all before it that it was made from."""
    if stage in manifests:
        return
    manifests[stage] = manifest_of(layout, stage)
    for name in manifests[stage]["inputs"]:
        _gather(layout, MAKERS[name.partition("/")[0]], manifests)


def _digest(manifests: dict[str, dict[str, Any]], artifact: str) -> str:
    name, _, part = artifact.partition("/")
    return digest(part_of(manifests[MAKERS[name]]["outputs"][name], part))


def _intact(layout: Layout, stage: str, manifest: dict[str, Any], artifact: str, deep: bool) -> None:
    """Compare an artifact's files with those that its stage wrote."""
    name, _, part = artifact.partition("/")
    noted: Files = part_of(manifest["outputs"][name], part)
    path = path_of(layout, artifact)
    inside = {key: each for key, each in noted.items() if not key.startswith(MODEL)}
    if not inside:
        raise MissingInputError(path, f"thinkrec {stage} --dataset {layout.dataset}")
    try:
        changed = differing(inside, describe(path, deep))
    except OSError as error:
        raise _error(artifact)(
            f"{path} can't be read ({error.strerror}): {_command(layout, stage)}"
        ) from error
    if changed:
        which = path / changed[0] if changed[0] else path
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise _error(artifact)(
            f"{which}{more}: not as `thinkrec {stage}` wrote it, so it is damaged or was changed by hand: "
            f"{_command(layout, stage)}"
        )
    outside = {key: each for key, each in noted.items() if key.startswith(MODEL)}
    if outside:
        _same_model(layout, stage, path, outside)


def _same_model(layout: Layout, stage: str, path: Path, noted: Files) -> None:
    """Compare the model folder that a backbone stands on with what it was."""
    from thinkrec.artifacts.outside import model_folder

    said = read_json(path / "backbone.json")
    folder = model_folder(said["model"], said["revision"])
    changed = differing(noted, model_files(folder)) if folder else sorted(noted)
    if changed:
        raise ModelError(
            f"{folder or said['model']}: {changed[0].removeprefix(MODEL)} is not what it was when {path} was "
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
    """Compare the parameters that an artifact was made with with those of now."""
    noted = manifest["params"]
    now = values_of(params, layout.dataset, STAGES[stage].params)
    path = path_of(layout, STAGES[stage].outputs[0])
    for section in noted.keys() & now.keys():
        before, after = dict(_leaves(noted[section], section)), dict(_leaves(now[section], section))
        for key in sorted(before.keys() & after.keys()):
            if before[key] == after[key] or _under(key, _FREE):
                continue
            named = key.replace("*", layout.dataset)
            said = f"{path} was made with {named}: {before[key]!r}, params.yaml says {after[key]!r} now"
            if _under(key, keys):
                raise _error(STAGES[stage].outputs[0])(
                    f"{said}: {_command(layout, stage)} and the stages after it, or set it back"
                )
            log.warning("%s; `thinkrec %s --dataset %s` applies that", said, stage, layout.dataset)


def _under(key: str, others: Iterable[str]) -> bool:
    """Whether a key is one of others, or below one."""
    return any(key == other or key.startswith(f"{other}.") for other in others)


def _same_inputs(layout: Layout, stage: str, manifests: dict[str, dict[str, Any]]) -> None:
    """Compare what an artifact was made from with what is there now."""
    for name, noted in manifests[stage]["inputs"].items():
        if _digest(manifests, name) != noted:
            path = path_of(layout, STAGES[stage].outputs[0])
            raise _error(STAGES[stage].outputs[0])(
                f"{path} was made from another {path_of(layout, name)} than there is now: "
                f"{_command(layout, stage)} and the stages after it"
            )


def unchanged(layout: Layout, inputs: dict[str, str]) -> None:
    """Check that inputs are still those that a stage began with.

    Raises:
        DataError: another run has replaced one, or its manifest.
    """
    manifests: dict[str, dict[str, Any]] = {}
    for name, noted in inputs.items():
        maker = MAKERS[name.partition("/")[0]]
        _gather(layout, maker, manifests)
        if _digest(manifests, name) != noted:
            raise DataError(
                f"{path_of(layout, name)} was made again while this ran, by another `thinkrec {maker}`: run "
                "the same command again"
            )


def found_faults(
    layout: Layout, params: Params, keys: Iterable[str], deep: bool
) -> Iterator[tuple[str, str]]:
    """Check all artifacts that are there; yields name and fault ("" where there is none) of each."""
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

"""Before anything is read: artifacts are there, whole, and made from what is there now."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.kept import brings_back
from thinkrec.artifacts.manifest import (
    MODEL,
    Files,
    changed_files,
    describe,
    digest,
    model_files,
    part_of,
    read_manifest,
)
from thinkrec.config.secrets import without_secrets
from thinkrec.config.shared import written_as
from thinkrec.config.tree import dumped
from thinkrec.errors import DataError, MissingInputError, ModelError, ThinkrecError
from thinkrec.files import read_json
from thinkrec.layout import FETCHABLE, Layout, maker, path_of
from thinkrec.pipeline import COMMANDS, MAKERS, ONLY_WITH, STAGES, named
from thinkrec.variants import DEFAULT, VARIANTS

if TYPE_CHECKING:
    from thinkrec.config.sections import Params

log = logging.getLogger(__name__)
_FREE = ("cf.models",)
"""Keys that may differ between two stages: an encoder that was not trained is missed by its folder."""


def params_of(layout: Layout, stage: str, params: Params) -> Params:
    """The parameters that decide what a stage makes: those of its variant, where it trains one."""
    return params.of_variant(layout.variant) if _by_variant(stage) else params


def trains(layout: Layout, stage: str) -> bool:
    """Whether the variant has the part that a stage trains; True for stages of no variant."""
    part = STAGES[stage].part if stage in STAGES else ""
    return not part or bool(getattr(VARIANTS[layout.variant], part))


def _by_variant(stage: str) -> bool:
    return stage in STAGES and STAGES[stage].by_variant


def keys_of(layout: Layout, stage: str) -> tuple[str, ...]:
    """The parameters that decide what a stage makes, by dotted keys; none where it trains nothing."""
    return STAGES[stage].params if trains(layout, stage) else ()


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


def inputs_of(
    name: str, params: Params, extra_inputs: Iterable[str] = (), variant: str = DEFAULT
) -> list[str]:
    """Names of a command's inputs, with the values of params in them, without those that no system needs.

    Args:
        name: of the command.
        params: the parameters now.
        extra_inputs: what its systems need.
        variant: that it trains.
    """
    stage, every = STAGES.get(name) or COMMANDS[name], dumped(params)
    systems = set(every[name]["systems"]) if stage.only_for else set()

    def value(found: re.Match[str]) -> str:
        section, _, key = found[1].partition(".")
        return str(every[section][key])

    if stage.by_variant and stage.part and not getattr(VARIANTS[variant], stage.part):
        return []
    own = [
        re.sub(r"\{(.+)\}", value, each)
        for each in stage.inputs
        if each not in stage.only_for or systems & set(stage.only_for[each])
        if not stage.by_variant or getattr(VARIANTS[variant], ONLY_WITH.get(each, ""), True)
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
    manifests = _Manifests()
    for name in wanted:
        if not path_of(layout, name).exists():
            raise _missing(layout, name)
    for name in wanted:
        manifests.gather(*_maker(layout, name))
    for place, stage in manifests.runs():
        for name in wanted:
            at, made_by = _maker(layout, name)
            if (at.own(made_by), made_by) == (place.own(stage), stage):
                _intact(place, stage, manifests, name, deep)
        if lineage:
            _same_params(place, stage, manifests.of(place, stage), params, tuple(keys))
            _same_inputs(place, stage, manifests)
    return {name: manifests.digest(layout, name) for name in wanted}


def _maker(layout: Layout, artifact: str) -> tuple[Layout, str]:
    """The stage that makes an artifact, and the layout of its variant."""
    name = named(artifact)
    return layout.of(name.variant or layout.variant), MAKERS[name.made]


def _missing(layout: Layout, artifact: str) -> MissingInputError:
    """Return the error for an artifact that is not there: not made yet, or removed while DVC has it."""
    (place, stage), path = _maker(layout, artifact), path_of(layout, artifact)
    recorded = brings_back(layout.root, path, False, place.manifest(stage))
    return MissingInputError(path, maker(layout, artifact), _removed(place, stage, path) if recorded else "")


def _removed(layout: Layout, stage: str, path: Path) -> str:
    return f"{path} is missing, which `thinkrec {stage}` wrote: {_remedy(layout, stage, path, False)}"


class _Manifests:
    """Manifests of stages and of all before them that they were made from, each read once."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[Layout, str, dict[str, Any]]] = {}

    def gather(self, layout: Layout, stage: str) -> None:
        """Read those of a stage."""
        if layout.own(stage) not in self._all:
            self._all[layout.own(stage)] = layout, stage, manifest_of(layout, stage)
            for name in self.of(layout, stage)["inputs"]:
                self.gather(*_maker(layout, name))

    def runs(self) -> list[tuple[Layout, str]]:
        """All stages, in the order of the pipeline."""
        order = list(STAGES)
        return [
            (place, stage) for place, stage, _ in sorted(self._all.values(), key=lambda x: order.index(x[1]))
        ]

    def of(self, layout: Layout, stage: str) -> dict[str, Any]:
        """The manifest of a stage."""
        return self._all[layout.own(stage)][2]

    def files(self, layout: Layout, artifact: str) -> Files:
        """The files of an artifact, or of a part of it, as its stage wrote them."""
        name = named(artifact)
        return part_of(self.of(*_maker(layout, artifact))["outputs"][name.made], name.part)

    def digest(self, layout: Layout, artifact: str) -> str:
        """Their hash."""
        return digest(self.files(layout, artifact))


def _command(layout: Layout, stage: str) -> str:
    return f"run `{layout.command(stage)}` again"


def _remedy(layout: Layout, stage: str, path: Path, force: bool) -> str:
    """Return what to do about a missing or damaged artifact: first the command of DVC, where it has it."""
    recorded = brings_back(layout.root, path, force, layout.manifest(stage))
    return "run " + ", or ".join(filter(None, (recorded, f"`{layout.command(stage)}` again")))


def _error(artifact: str) -> type[ThinkrecError]:
    """The class of what is wrong with an artifact, by the folder it lies in."""
    models = path_of(Layout("x"), artifact).is_relative_to(Layout("x").models)
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


def _intact(layout: Layout, stage: str, manifests: _Manifests, artifact: str, deep: bool) -> None:
    """Compare an artifact's files with those that its stage wrote."""
    noted = manifests.files(layout, artifact)
    path = path_of(layout, artifact)
    inside = {key: each for key, each in noted.items() if not key.startswith(MODEL)}
    if not inside:
        raise MissingInputError(path, layout.command(stage))
    try:
        changed = changed_files(inside, describe(path, deep))
    except OSError as error:
        raise _error(artifact)(
            f"{path} can't be read ({error.strerror}): {_command(layout, stage)}"
        ) from error
    if changed:
        raise _error(artifact)(_damage(layout, stage, path, changed, inside))
    outside = {key: each for key, each in noted.items() if key.startswith(MODEL)}
    if outside:
        _same_model(layout, stage, path, outside)


def _damage(layout: Layout, stage: str, path: Path, changed: list[str], noted: Files) -> str:
    """Say which files of an artifact are missing, are others' or are not as its stage wrote them."""
    if strange := [each for each in changed if each not in noted]:
        return f"{path / strange[0]}: `thinkrec {stage}` did not write it: move it away"
    gone = [each for each in changed if not (path / each).exists()]
    told, remedy = gone or changed, _remedy(layout, stage, path, force=len(gone) < len(changed))
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    which = f"{path / told[0]}{more}"
    if gone:
        return f"{which} {'are' if more else 'is'} missing, which `thinkrec {stage}` wrote: {remedy}"
    return f"{which}: not as `thinkrec {stage}` wrote it, so it is damaged or was changed by hand: {remedy}"


def _same_model(layout: Layout, stage: str, path: Path, noted: Files) -> None:
    """Compare the model folder that a backbone stands on with what it was."""
    from thinkrec.artifacts.outside import model_folder

    said = read_json(path / "backbone.json")
    name, source = said["model"], said.get("origin", {}).get("source")
    folder = model_folder(name, said["revision"], layout.root)
    if folder is None:
        fetch = f"`thinkrec fetch {name}`, or " if name in FETCHABLE else ""
        raise ModelError(
            f"{path} was made of the language model {name}, which is not here: {fetch}`dvc pull` where "
            f"whoever made it keeps the model in DVC, or {_command(layout, stage)}"
        )
    if changed := changed_files(noted, model_files(folder)):
        of, file = f" ({source})" if source else "", changed[0].removeprefix(MODEL)
        recorded = brings_back(layout.root, folder, force=True)
        fetch = f"`thinkrec fetch {name}`" if name in FETCHABLE else ""
        back = f"run {recorded or fetch}" if recorded or fetch else "put it back as it was"
        what = "has changed since" if (folder / file).exists() else "is gone since"
        raise ModelError(
            f"{folder}: {file} {what} {path} was made of that model{of}: {back}, or if you meant to change "
            f"the model {_command(layout, stage)}, and the stages after it"
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
    from thinkrec.config.sections import Params

    noted = manifest["params"]
    now = values_of(params_of(layout, stage, params), layout.dataset, STAGES[stage].params)
    fixed = [key for key in STAGES[stage].params if "*" not in key]
    initial = values_of(params_of(layout, stage, Params()), layout.dataset, fixed)
    path = path_of(layout, STAGES[stage].outputs[0])
    for section in noted.keys() & now.keys():
        before, after = dict(_leaves(noted[section], section)), dict(_leaves(now[section], section))
        # A key that a later version added had its initial value before.
        before = dict(_leaves(initial.get(section, {}), section)) | before
        for key in sorted(before.keys() & after.keys()):
            if before[key] == after[key] or _under(key, _FREE):
                continue
            named = written_as(key, dumped(params)).replace("*", layout.dataset)
            said = f"{path} was made with {named}: {before[key]!r}, params.yaml says {after[key]!r} now"
            if _under(key, keys):
                raise _error(STAGES[stage].outputs[0])(
                    f"{said}: {_command(layout, stage)} and the stages after it, or set it back"
                )
            log.warning("%s; `%s` applies that", said, layout.command(stage))


def _under(key: str, others: Iterable[str]) -> bool:
    """Whether a key is one of others, or below one."""
    return any(key == other or key.startswith(f"{other}.") for other in others)


def _same_inputs(layout: Layout, stage: str, manifests: _Manifests) -> None:
    """Compare what an artifact was made from with what is there now."""
    for name, noted in manifests.of(layout, stage)["inputs"].items():
        if manifests.digest(layout, name) != noted:
            path = path_of(layout, STAGES[stage].outputs[0])
            raise _error(STAGES[stage].outputs[0])(
                f"{path} was made from another {path_of(layout, name)} than there is now: "
                f"{_command(layout, stage)} and the stages after it"
            )


def check_unchanged(layout: Layout, inputs: dict[str, str]) -> None:
    """Check that inputs are still those that a stage began with.

    Raises:
        DataError: another run has replaced one, or its manifest.
    """
    manifests = _Manifests()
    for name, noted in inputs.items():
        place, stage = _maker(layout, name)
        manifests.gather(place, stage)
        if manifests.digest(layout, name) != noted:
            raise DataError(
                f"{path_of(layout, name)} was made again while this ran, by another `thinkrec {stage}`: run "
                "the same command again"
            )


def iter_faults(layout: Layout, params: Params, keys: Iterable[str], deep: bool) -> Iterator[tuple[str, str]]:
    """Check all artifacts that are there; yields name and fault ("" where there is none) of each."""
    for artifact in _artifacts():
        if not path_of(layout, artifact).exists() or _of_an_earlier_run(layout, artifact):
            continue
        try:
            check(layout, [artifact], params, keys, deep)
        except ThinkrecError as error:
            yield artifact, str(error)
        else:
            yield artifact, ""


def iter_missing(layout: Layout) -> Iterator[str]:
    """Name each file or folder that a stage wrote and that is gone, with what brings it back."""
    for name, stage in STAGES.items():
        for variant in VARIANTS if stage.by_variant else [layout.variant]:
            place = layout.of(variant)
            if not place.manifest(name).exists():
                continue
            try:
                noted = manifest_of(place, name)["outputs"]
            except ThinkrecError as error:
                yield str(error)
                continue
            for artifact in stage.made:
                path = path_of(place, artifact)
                if not path.exists() and noted.get(artifact, True):
                    yield _removed(place, name, path)


def _of_an_earlier_run(layout: Layout, artifact: str) -> bool:
    """Whether git alone kept a report whose stage has left nothing else here, no manifest either."""
    place, stage = _maker(layout, artifact)
    others = (path_of(place, each) for each in STAGES[stage].outputs)
    return not place.manifest(stage).exists() and all(
        path.is_relative_to(place.reports) for path in others if path.exists()
    )


def _artifacts() -> Iterator[str]:
    """Names of all artifacts, of all variants."""
    for stage in STAGES.values():
        for variant in VARIANTS if stage.by_variant else [""]:
            for artifact in stage.outputs:
                yield f"{artifact}@{variant}" if variant else artifact

"""What variants share: a part that two train alike is trained once; one that a variant lacks is noted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.check import check, inputs_of, params_of, trains, values_of
from thinkrec.artifacts.manifest import changed_files, describe, read_manifest
from thinkrec.errors import ModelError
from thinkrec.files import latest, whole, write_curve, write_json
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import STAGES, named
from thinkrec.variants import VARIANTS

if TYPE_CHECKING:
    from thinkrec.config.sections import Params

LEFT_OUT = "none.json"
"""The one file in the place of a part that a variant does not have."""


def ready_made(layout: Layout, name: str, params: Params, code: str = "") -> dict[str, Any] | None:
    """Write what a stage of a variant makes without training it, where that can be.

    A variant without the part gets a folder that says so. Where another variant's part was made from the same
    inputs, with the same parameters, by the same code, it is copied.

    Args:
        layout: of the variant.
        name: of the stage.
        params: all of params.yaml.
        code: hash of the code that the stage runs.

    Raises:
        ModelError: another run replaced the part meanwhile.

    Returns:
        Facts for the run record; None where the stage has to be run.
    """
    stage = STAGES[name]
    if not stage.by_variant:
        return None
    if not trains(layout, name):
        for artifact in stage.outputs:
            if named(artifact).artifact == "curve":
                write_curve(path_of(layout, artifact), "step", [])
            else:
                with whole(path_of(layout, artifact)) as beside:
                    beside.mkdir(parents=True)
                    write_json(beside / LEFT_OUT, {"variant": layout.variant, "has": f"no {stage.part}"})
        return {"trained": f"nothing: {layout.variant} has no {stage.part}"}
    other = trained_alike(layout, name, params, code)
    if other is None:
        return None
    recorded = read_manifest(other, name)["outputs"]
    for artifact in stage.outputs:
        path, source = path_of(layout, artifact), path_of(other, artifact)
        with whole(path) as beside:
            (shutil.copytree if source.is_dir() else shutil.copy)(source, beside)
        if changed_files(recorded[artifact], describe(latest(path), deep=True)):
            raise ModelError(f"{source} was made again while it was copied: run the same command again")
    return {"trained": f"nothing: copied from {other.variant}, which is trained alike"}


def trained_alike(layout: Layout, name: str, params: Params, code: str) -> Layout | None:
    """Find a variant whose part a stage would make just so; None if there is none. See `ready_made`."""
    inputs = check(layout, inputs_of(name, params, variant=layout.variant), params, lineage=False)
    values = values_of(params_of(layout, name, params), layout.dataset, STAGES[name].params)
    wanted = {"inputs": inputs, "params": values, "code": code}
    return next((other for other in _others(layout) if _same(other, name, wanted)), None)


def _others(layout: Layout) -> Iterator[Layout]:
    return (layout.of(variant) for variant in VARIANTS if variant != layout.variant)


def _same(other: Layout, name: str, wanted: dict[str, Any]) -> bool:
    """Whether another variant's part is whole, and was made just so."""
    try:
        manifest = read_manifest(other, name)
        changed = (
            changed_files(files, describe(path_of(other, artifact), deep=True))
            for artifact, files in manifest["outputs"].items()
        )
        return {key: manifest.get(key, "") for key in wanted} == wanted and not any(changed)
    except (OSError, ValueError):
        return False

"""Running a stage: lock it, check its inputs, and move all its outputs into place together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.check import check, check_unchanged, inputs_of, values_of
from thinkrec.artifacts.lock import batch_of, finish_pending, locked
from thinkrec.artifacts.manifest import Files, describe, path_of, write_manifest
from thinkrec.artifacts.outside import outside_files
from thinkrec.files import FOLLOWS, latest, read_json, together
from thinkrec.layout import Layout
from thinkrec.pipeline import COMMANDS, STAGES
from thinkrec.runs import recorded

if TYPE_CHECKING:
    from thinkrec.config.sections import Params


@contextmanager
def running(
    layout: Layout, name: str, params: Params, extra_inputs: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """Run the block as a stage of a data set.

    Inputs are checked first. If the block succeeds, all outputs, the manifest and the run record become
    visible in one step; else nothing changes.

    Args:
        layout: paths of the artifacts.
        name: of the stage.
        params: all of params.yaml.
        extra_inputs: inputs that its systems need, besides those in the table.

    Yields:
        A dict for facts to store in the run record.

    Raises:
        BusyError: the stage is already running for the data set.
        MissingInputError: an input does not exist yet.
        DataError: prepared data are damaged or stale, or were replaced meanwhile.
        ModelError: a model is damaged or stale.
        StorageError: the disk is full or not writable.
    """
    stage = STAGES[name]
    if os.environ.get(FOLLOWS):  # the first process does all of this
        with recorded(layout, name, params.seed) as facts:
            yield facts
        return
    with locked(layout, name):
        finish_pending(layout, name)
        inputs = check(layout, inputs_of(name, params, extra_inputs), params, stage.params)
        with together(batch_of(layout, name)) as batch:
            with recorded(layout, name, params.seed) as facts:
                yield facts
                outputs = {each: _described(layout, each) for each in stage.outputs}
                values = values_of(params, layout.dataset, stage.params)
                write_manifest(layout, name, inputs, values, outputs)
            check_unchanged(layout, inputs)
            batch.commit()


def _described(layout: Layout, artifact: str) -> Files:
    path = latest(path_of(layout, artifact))
    files = describe(path, deep=True)
    if artifact.endswith("backbone"):
        backbone = read_json(path / "backbone.json")
        files |= outside_files(backbone["model"], backbone["revision"])
    return files


def ready(layout: Layout, name: str, params: Params, extra_inputs: Iterable[str] = ()) -> None:
    """Check the inputs of a command that is not a stage; options name its `extra_inputs`.

    Raises:
        MissingInputError: an input does not exist yet.
        DataError: prepared data or predictions are damaged or stale.
        ModelError: a model is damaged or stale.
    """
    finish_pending(layout)
    check(layout, inputs_of(name, params, extra_inputs), params, COMMANDS[name].params)


def ready_for_dry_run(
    layout: Layout, name: str, params: Params, unneeded: tuple[str, ...], extra_inputs: Iterable[str] = ()
) -> None:
    """Check the inputs of a stage's dry run: parameters may differ, `unneeded` inputs may be missing.

    Raises:
        MissingInputError: an input does not exist yet.
        DataError: prepared data are damaged.
        ModelError: a model is damaged.
    """
    finish_pending(layout)
    names = [
        each
        for each in inputs_of(name, params, extra_inputs)
        if each not in unneeded or path_of(layout, each).exists()
    ]
    check(layout, names, params, lineage=False)

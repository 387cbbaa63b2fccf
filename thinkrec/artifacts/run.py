"""Run a stage: lock it, check what it reads, and put all that it makes in place together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.check import check, check_unchanged, inputs_of, keys_of, params_of, values_of
from thinkrec.artifacts.lock import batch_of, finish_pending, locked
from thinkrec.artifacts.manifest import Files, describe, write_manifest
from thinkrec.artifacts.outside import outside_files
from thinkrec.files import FOLLOWS, latest, read_json, together
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import COMMANDS, STAGES, named
from thinkrec.runs import recorded

if TYPE_CHECKING:
    from thinkrec.config.sections import Params


@contextmanager
def running(
    layout: Layout, name: str, params: Params, extra_inputs: Iterable[str] = (), code: str = ""
) -> Iterator[dict[str, Any]]:
    """Run the block as a stage of a data set.

    Its inputs are checked first. All that it writes becomes visible in one step when it has ended well,
    together with its manifest and its run record; else all stays as it was.

    Args:
        layout: where its artifacts lie.
        name: of the stage.
        params: all of params.yaml.
        extra_inputs: inputs that its systems need, beside those in the table.
        code: hash of the code that the stage runs, of stages that variants share.

    Yields:
        A dict for what the stage wants to have kept in its record.

    Raises:
        BusyError: the stage of the data set is running already.
        MissingInputError: an input is not there yet.
        DataError: prepared data are damaged or stale, or were replaced meanwhile.
        ModelError: a model is damaged or stale.
        StorageError: the disk is full or not writable.
    """
    stage = STAGES[name]
    if os.environ.get(FOLLOWS):  # the first process of the training does all of this
        with recorded(layout, name, params.seed) as facts:
            yield facts
        return
    with locked(layout, name):
        finish_pending(layout, name)
        names, keys = inputs_of(name, params, extra_inputs, layout.variant), keys_of(layout, name)
        inputs = check(layout, names, params, keys)
        with together(batch_of(layout, name)) as batch:
            with recorded(layout, name, params.seed) as facts:
                yield facts
                made = {each: _described(layout, each) for each in stage.outputs}
                values = values_of(params_of(layout, name, params), layout.dataset, keys)
                write_manifest(layout, name, inputs, values, made, code)
            check_unchanged(layout, inputs)
            batch.commit()


def _described(layout: Layout, artifact: str) -> Files:
    path = latest(path_of(layout, artifact))
    found = describe(path, deep=True)
    if artifact.endswith("backbone"):
        said = read_json(path / "backbone.json")
        found |= outside_files(said["model"], said["revision"], layout.root)
    return found


def ready(layout: Layout, name: str, params: Params, extra_inputs: Iterable[str] = ()) -> None:
    """Check what a command reads that is no stage; `extra_inputs` are what its options name.

    Raises:
        MissingInputError: an input is not there yet.
        DataError: prepared data or predictions are damaged or stale.
        ModelError: a model is damaged or stale.
    """
    finish_pending(layout)
    check(layout, inputs_of(name, params, extra_inputs), params, COMMANDS[name].params)


def ready_for_dry_run(
    layout: Layout, name: str, params: Params, unneeded: tuple[str, ...], extra_inputs: Iterable[str] = ()
) -> None:
    """Check what the dry run of a stage reads: parameters may differ, the `unneeded` may be missing.

    Raises:
        MissingInputError: an input is not there yet.
        DataError: prepared data are damaged.
        ModelError: a model is damaged.
    """
    finish_pending(layout)
    names = [
        each
        for each in inputs_of(name, params, extra_inputs, layout.variant)
        if named(each).artifact not in unneeded or path_of(layout, each).exists()
    ]
    check(layout, names, params, lineage=False)

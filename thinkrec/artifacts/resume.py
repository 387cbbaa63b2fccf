"""Keys of unfinished work: a run takes up only what the very same run would have left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.check import inputs_of, params_of, values_of
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import COMMANDS, STAGES
from thinkrec.processes import world_size

if TYPE_CHECKING:
    from thinkrec.config.sections import Params


def fingerprint(values: Iterable[Any], files: Iterable[Path]) -> str:
    """Hash of parameters, input files and the count of processes.

    So a run never resumes from the checkpoint of another, or of one whose batches were cut otherwise.
    """
    said = [*values, world_size()]
    sha = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for file in files:
        for path in sorted(file.rglob("*")) if file.is_dir() else [file]:
            if path.is_file():
                sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()[:16]


def work_key(
    layout: Layout,
    name: str,
    params: Params,
    *extra: Any,
    keys: Iterable[str] | None = None,
    extra_inputs: Iterable[str] = (),
    files: Iterable[Path] = (),
) -> str:
    """Name a command's unfinished work by all that decides it.

    Args:
        layout: of the data set.
        name: of the command, whose inputs and parameters the table of stages has.
        params: all of params.yaml.
        extra: values that tell this work from the command's other work.
        keys: parameters that decide it, where those are not all of the table's.
        extra_inputs: inputs that its systems need.
        files: read besides the inputs.
    """
    stage = STAGES.get(name) or COMMANDS[name]
    own = params_of(layout, name, params)
    values = values_of(own, layout.dataset, stage.params if keys is None else keys)
    inputs = [path_of(layout, each) for each in inputs_of(name, params, extra_inputs, layout.variant)]
    return fingerprint([name, values, *extra], [*inputs, *files])

"""Fingerprints of unfinished work: a run resumes only from an equal run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.check import inputs_of, values_of
from thinkrec.artifacts.manifest import path_of
from thinkrec.layout import Layout
from thinkrec.pipeline import COMMANDS, STAGES
from thinkrec.processes import world_size

if TYPE_CHECKING:
    from thinkrec.config.sections import Params


def fingerprint(values: Iterable[Any], files: Iterable[Path]) -> str:
    """Hash parameters, input files and the number of processes."""
    content = [*values, world_size()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    for file in files:
        for path in sorted(file.rglob("*")) if file.is_dir() else [file]:
            if path.is_file():
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def work_key(
    layout: Layout,
    name: str,
    params: Params,
    *extra: Any,
    keys: Iterable[str] | None = None,
    extra_inputs: Iterable[str] = (),
    files: Iterable[Path] = (),
) -> str:
    """Compute the fingerprint of a command's unfinished work.

    Args:
        layout: of the data set.
        name: of the command; the table of stages has its inputs and parameters.
        params: all of params.yaml.
        extra: values that distinguish this work from the command's other work.
        keys: parameters that it depends on, if not all of the table's.
        extra_inputs: inputs that its systems need.
        files: further files that it reads.
    """
    stage = STAGES.get(name) or COMMANDS[name]
    values = values_of(params, layout.dataset, stage.params if keys is None else keys)
    inputs = [path_of(layout, each) for each in inputs_of(name, params, extra_inputs)]
    return fingerprint([name, values, *extra], [*inputs, *files])

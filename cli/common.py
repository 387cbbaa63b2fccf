"""What the stage commands share: parameters, check of inputs, run record, summary."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from thinkrec.config.sections import Params
    from thinkrec.layout import Layout

dataset_option = click.option(
    "--dataset", required=True, metavar="NAME", help="Data set, by its name under `datasets:` in params.yaml."
)

dry_run_option = click.option(
    "--dry-run",
    "dry",
    is_flag=True,
    help="Only say what it would cost here: rows, tokens, FLOPs, hours, memory. Nothing is written.",
)


TRAINED = ("global", "experts", "projector", "agent-sft", "agent-grpo")
"""Stages that train on the backbone, by as many processes as `processes` says."""


@dataclass
class Stage:
    """A stage about to run: its paths, the parameters, and the facts that its record will keep."""

    layout: Layout
    params: Params
    facts: dict[str, Any]


@contextmanager
def stage(name: str, dataset: str) -> Iterator[Stage]:
    """Check parameters and inputs, run the block, put its outputs in place and print its facts.

    Args:
        name: the stage, as in params.yaml and dvc.yaml.
        dataset: name of the data set.

    Raises:
        ConfigError: params.yaml or the data set's name is wrong, or a launcher runs what does not train.
        MissingInputError: an input does not exist yet.
        DataError: an input is damaged or stale.
        ModelError: the same of a model.
        BusyError: the stage is running already.
    """
    from thinkrec.artifacts.run import running
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.errors import ConfigError
    from thinkrec.files import FOLLOWS
    from thinkrec.layout import Layout
    from thinkrec.llm.processes import number, together
    from thinkrec.systems.registry import needs_of_stage

    params, layout = load_params(stage=name), Layout(dataset)
    dataset_source(params, dataset)
    if name in TRAINED and together() == 1 and params.processes > 1:
        spread(params.processes, name, "--dataset", dataset)
    if together() > 1 and name not in TRAINED:
        raise ConfigError(
            f"{name} runs as one process, not under a launcher: {', '.join(TRAINED)} run as several"
        )
    if together() > 1:
        join()
    if number():
        os.environ[FOLLOWS] = str(number())
    with running(layout, name, params, needs_of_stage(params, name)) as facts:
        yield Stage(layout, params, facts)
    if number():
        return
    click.echo(f"{name} of {dataset}: done, recorded in {layout.record(name)}")
    for line in summary(facts):
        click.echo(f"  {line}")


def join() -> None:
    """Let accelerate join the processes on a machine without a GPU, too, where it would leave each alone."""
    import torch

    if not torch.cuda.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"


def spread(processes: int, *arguments: str) -> NoReturn:
    """Run a command as several processes of one training, and exit as they do.

    Under `accelerate launch` or `torchrun` that has happened already.
    """
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "thinkrec_cli.main", *arguments], check=False
    )
    if done.returncode:
        click.echo(f"error: one of {processes} processes failed; its message stands above", err=True)
    raise click.exceptions.Exit(done.returncode)


def dry_run(name: str, dataset: str) -> None:
    """Print what a stage would cost. Inputs that need not be trained for that may be missing.

    Args:
        name: the stage.
        dataset: name of the data set.

    Raises:
        ConfigError: params.yaml or the data set's name is wrong.
        MissingInputError: an input that nothing can stand in for does not exist yet.
        DataError: an input is damaged.
        ModelError: the same of a model.
    """
    from rich.console import Console

    from thinkrec.artifacts.run import ready_for_dry_run
    from thinkrec.config.load import load_params
    from thinkrec.costs.table import tables
    from thinkrec.layout import Layout
    from thinkrec.stages.dry_run import UNNEEDED, dry_run
    from thinkrec.systems.registry import needs_of_stage

    params, layout = load_params(stage=name), Layout(dataset)
    ready_for_dry_run(layout, name, params, UNNEEDED, needs_of_stage(params, name))
    found = dry_run(name, layout, params)
    console = Console()
    for part in tables(found):
        console.print(part)


def summary(facts: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """One `key: value` line for each fact, keys of nested facts joined by dots."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from summary(value, f"{prefix}{key}.")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            yield f"{prefix}{key}: {shown}"

"""The commands of the stages, made from their table."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import NoReturn

import click

from thinkrec.pipeline import STAGES, Stage
from thinkrec_cli.common import dataset_option, summary

_dry_run_option = click.option(
    "--dry-run",
    "dry",
    is_flag=True,
    help="Only say what it would cost here: rows, tokens, FLOPs, hours, memory. Nothing is written.",
)


def stage_command(stage: Stage) -> click.Command:
    """Make the command of a stage; nothing heavy is imported before it is called."""

    def call(dataset: str, dry: bool = False) -> None:
        if dry:
            dry_run(stage, dataset)
        else:
            run(stage, dataset)

    options = _dry_run_option(call) if stage.dry_run else call
    return click.command(stage.name, help=stage.help)(dataset_option(options))


def run(stage: Stage, dataset: str) -> None:
    """Check parameters and inputs, run a stage, put its outputs in place and print its facts.

    Args:
        stage: of the table.
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
    from thinkrec.files import FOLLOWS
    from thinkrec.layout import Layout
    from thinkrec.processes import rank, world_size
    from thinkrec.systems.registry import needs_of_stage

    params, layout = load_params(stage=stage.name), Layout(dataset)
    dataset_source(params, dataset)
    if stage.trains and world_size() == 1 and params.processes > 1:
        spread(params.processes, stage.name, "--dataset", dataset)
    if world_size() > 1:
        join(stage)
    if rank():
        os.environ[FOLLOWS] = str(rank())
    with running(layout, stage.name, params, needs_of_stage(params, stage.name)) as facts:
        facts.update(import_module(stage.module).run(layout, params))
    if rank():
        return
    click.echo(f"{stage.name} of {dataset}: done, recorded in {layout.record(stage.name)}")
    for line in summary(facts):
        click.echo(f"  {line}")


def join(stage: Stage) -> None:
    """Let accelerate join the processes on a machine without a GPU, too, where it would leave each alone.

    Raises:
        ConfigError: the stage trains nothing.
    """
    from thinkrec.errors import ConfigError

    if not stage.trains:
        several = ", ".join(name for name, each in STAGES.items() if each.trains)
        raise ConfigError(f"{stage.name} runs as one process, not under a launcher: {several} run as several")
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
        click.echo(f"error: one of {processes} processes failed; its message is above", err=True)
    raise click.exceptions.Exit(done.returncode)


def dry_run(stage: Stage, dataset: str) -> None:
    """Print what a stage would cost. Inputs that need not be trained for that may be missing.

    Args:
        stage: of the table.
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

    params, layout = load_params(stage=stage.name), Layout(dataset)
    ready_for_dry_run(layout, stage.name, params, UNNEEDED, needs_of_stage(params, stage.name))
    found = dry_run(stage.name, layout, params)
    console = Console()
    for part in tables(found):
        console.print(part)

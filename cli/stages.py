"""The commands of the stages, generated from their table."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from typing import NoReturn

import click

from thinkrec.pipeline import STAGES, Stage
from thinkrec.variants import DEFAULT
from thinkrec_cli.common import dataset_option, json_option, print_json, summary, variant_option
from thinkrec_cli.logs import say_error

_dry_run_option = click.option(
    "--dry-run",
    "dry",
    is_flag=True,
    help="Only estimate the cost on this machine: rows, tokens, FLOPs, hours, memory. Writes nothing.",
)


def stage_command(stage: Stage) -> click.Command:
    """Return the command of a stage; nothing heavy is imported before it is called."""

    def call(dataset: str, as_json: bool, variant: str = DEFAULT, dry: bool = False) -> None:
        if dry:
            dry_run(stage, dataset, variant, as_json)
        else:
            run(stage, dataset, variant, as_json)

    options = json_option(call)
    options = _dry_run_option(options) if stage.dry_run else options
    options = variant_option(options) if stage.by_variant else options
    return click.command(stage.name, help=stage.help)(dataset_option(options))


def run(stage: Stage, dataset: str, variant: str, as_json: bool) -> None:
    """Check parameters and inputs, run a stage, put its outputs in place and print its facts.

    Args:
        stage: of the table.
        dataset: name of the data set.
        variant: that is trained.
        as_json: print a JSON document: stage, dataset, variant (null if it trains none), record, facts.

    Raises:
        ConfigError: params.yaml or the data set is invalid, or a launcher runs a stage that does not train.
        MissingInputError: an input does not exist yet.
        DataError: an input is damaged or stale.
        ModelError: a model is damaged or stale.
        BusyError: the stage is already running.
    """
    from thinkrec.artifacts.check import params_of, trains
    from thinkrec.artifacts.run import running
    from thinkrec.artifacts.shared import ready_made, trained_alike
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.files import FOLLOWS
    from thinkrec.layout import Layout
    from thinkrec.processes import rank, world_size
    from thinkrec.progress import stage as shown_stage
    from thinkrec.systems.registry import needs_of_stage
    from thinkrec_cli.fingerprints import code_hash

    params, layout = load_params(stage=stage.name), Layout(dataset, variant=variant)
    dataset_source(params, dataset)
    code = code_hash(stage) if stage.by_variant else ""
    if stage.trains and world_size() == 1 and params.processes > 1:
        alone = stage.by_variant and (
            not trains(layout, stage.name) or trained_alike(layout, stage.name, params, code)
        )
        if not alone:
            command = layout.command(stage.name).split()[1:]
            spread(params.processes, *command, *["--json"] * as_json)
    if world_size() > 1:
        join(stage)
    if rank():
        os.environ[FOLLOWS] = str(rank())
    needs = needs_of_stage(params, stage.name)
    with shown_stage(stage.name), running(layout, stage.name, params, needs, code) as facts:
        made = ready_made(layout, stage.name, params, code) if world_size() == 1 else None
        own = params_of(layout, stage.name, params)
        facts.update(import_module(stage.module).run(layout, own) if made is None else made)
    if rank():
        return
    if as_json:
        record = layout.record(stage.name).as_posix()
        own_variant = variant if stage.by_variant else None
        said = {"stage": stage.name, "dataset": dataset, "variant": own_variant, "record": record}
        print_json({**said, "facts": facts})
        return
    click.echo(f"{layout.own(stage.name)} of {dataset}: done, recorded in {layout.record(stage.name)}")
    for line in summary(facts):
        click.echo(f"  {line}")


def join(stage: Stage) -> None:
    """Let accelerate join the processes even without a GPU, where each would otherwise run alone.

    Raises:
        ConfigError: the stage does not train.
    """
    from thinkrec.errors import ConfigError

    if not stage.trains:
        several = ", ".join(name for name, each in STAGES.items() if each.trains)
        raise ConfigError(f"{stage.name} runs as one process, not under a launcher: {several} run as several")
    import torch

    if not torch.cuda.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"


def spread(processes: int, *arguments: str) -> NoReturn:
    """Run a command as several processes of one training, and exit with their code.

    `accelerate launch` and `torchrun` do this themselves.
    """
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "thinkrec_cli.main", *arguments], check=False
    )
    if done.returncode:
        say_error(f"one of {processes} processes failed; its message is above", done.returncode)
    raise click.exceptions.Exit(done.returncode)


def dry_run(stage: Stage, dataset: str, variant: str, as_json: bool) -> None:
    """Print what a stage would cost. Inputs that need not be trained for that may be missing.

    Args:
        stage: of the table.
        dataset: name of the data set.
        variant: that would be trained.
        as_json: print a JSON document in place of tables: the estimate, null where there is nothing to train.

    Raises:
        ConfigError: params.yaml or the data set is invalid.
        MissingInputError: an input that can't be replaced by a stand-in does not exist yet.
        DataError: an input is damaged.
        ModelError: a model is damaged.
    """
    from rich.console import Console

    from thinkrec.artifacts.check import trains
    from thinkrec.artifacts.run import ready_for_dry_run
    from thinkrec.config.load import load_params
    from thinkrec.costs.table import tables
    from thinkrec.layout import Layout
    from thinkrec.stages.dry_run import UNNEEDED, dry_run
    from thinkrec.systems.registry import needs_of_stage

    params, layout = load_params(stage=stage.name), Layout(dataset, variant=variant)
    if not trains(layout, stage.name):
        if as_json:
            print_json(None)
            return
        click.echo(f"{layout.own(stage.name)} of {dataset}: nothing to train: {variant} has no {stage.part}")
        return
    ready_for_dry_run(layout, stage.name, params, UNNEEDED, needs_of_stage(params, stage.name))
    estimate = dry_run(stage.name, layout, params)
    if as_json:
        print_json(asdict(estimate))
        return
    console = Console()
    for part in tables(estimate):
        console.print(part)

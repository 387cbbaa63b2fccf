"""`thinkrec projector`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, dry_run, dry_run_option, stage


@click.command("projector")
@dataset_option
@dry_run_option
def command(dataset: str, dry: bool) -> None:
    """Train the way of collaborative vectors into the language model."""
    if dry:
        dry_run("projector", dataset)
        return
    with stage("projector", dataset) as run:
        from thinkrec.stages.projector import train_projector

        params = run.params
        run.facts.update(train_projector(run.layout, params.projector, params, params.seed))

"""`thinkrec projector`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, dry_run, dry_run_option, stage

INPUTS = (
    "interactions",
    "items",
    "keywords",
    "rationales",
    "backbone",
    "global_adapter",
    "clusters",
    "experts",
)


@click.command("projector")
@dataset_option
@dry_run_option
def command(dataset: str, dry: bool) -> None:
    """Train the way of collaborative vectors into the language model."""
    if dry:
        dry_run("projector", dataset, *INPUTS)
        return
    with stage("projector", dataset, *INPUTS, encoders=True) as run:
        from thinkrec.stages.projector import train_projector

        params = run.params
        run.facts.update(train_projector(run.layout, params.projector, params, params.seed))

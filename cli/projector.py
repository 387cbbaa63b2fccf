"""`thinkrec projector`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("projector")
@dataset_option
def command(dataset: str) -> None:
    """Train the way of collaborative vectors into the language model."""
    with stage(
        "projector",
        dataset,
        "interactions",
        "items",
        "keywords",
        "rationales",
        "backbone",
        "global_adapter",
        "clusters",
        "experts",
        encoders=True,
    ) as run:
        from thinkrec.stages.projector import train_projector

        params = run.params
        run.facts.update(train_projector(run.layout, params.projector, params, params.seed))

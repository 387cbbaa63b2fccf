"""`thinkrec cf`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("cf")
@dataset_option
def command(dataset: str) -> None:
    """Train the collaborative encoders: MF, LightGCN, SASRec, gSASRec."""
    with stage("cf", dataset, "interactions", "items", "users") as run:
        from thinkrec.stages.cf import train_encoders

        params = run.params
        run.facts.update(train_encoders(run.layout, params.cf, params.seed, params.tuned.get(dataset)))

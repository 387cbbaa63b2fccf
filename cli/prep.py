"""`thinkrec prep`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("prep")
@dataset_option
def command(dataset: str) -> None:
    """Turn raw files into interactions, items, users and splits."""
    with stage("prep", dataset) as run:
        from thinkrec.config.load import dataset_source
        from thinkrec.stages.prep import prepare

        source = dataset_source(run.params, dataset)
        run.facts.update(prepare(run.layout, source, run.params.prep))

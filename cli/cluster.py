"""`thinkrec cluster`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("cluster")
@dataset_option
def command(dataset: str) -> None:
    """Group users by their collaborative vectors."""
    with stage("cluster", dataset) as run:
        from thinkrec.stages.cluster import cluster_users

        params = run.params
        run.facts.update(cluster_users(run.layout, params.cluster, params.seed))

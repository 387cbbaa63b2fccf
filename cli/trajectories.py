"""`thinkrec trajectories`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("trajectories")
@dataset_option
def command(dataset: str) -> None:
    """Draw the cases to rank, investigate the training ones, keep the good episodes."""
    with stage("trajectories", dataset) as run:
        from thinkrec.stages.trajectories import make_trajectories

        params = run.params
        run.facts.update(make_trajectories(run.layout, params.agent, params.trajectories, params.seed))

"""`thinkrec cf`."""

from __future__ import annotations

import logging

import click

from thinkrec_cli.common import dataset_option, stage

log = logging.getLogger(__name__)


@click.command("cf")
@dataset_option
def command(dataset: str) -> None:
    """Train the collaborative encoders: MF, LightGCN, SASRec, gSASRec."""
    with stage("cf", dataset) as run:
        from thinkrec.config.problems import later_at_odds
        from thinkrec.stages.cf import train_encoders

        params = run.params
        for line in later_at_odds(params, dataset):
            log.warning("a later stage will stop: %s", line)
        run.facts.update(train_encoders(run.layout, params.cf, params.seed, params.tuned.get(dataset)))

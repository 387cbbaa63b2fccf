"""`thinkrec summarize`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("summarize")
@dataset_option
def command(dataset: str) -> None:
    """Extract keywords from each item's text."""
    with stage("summarize", dataset) as run:
        from thinkrec.stages.summarize import summarize

        params = run.params
        run.facts.update(summarize(run.layout, params.summarize))

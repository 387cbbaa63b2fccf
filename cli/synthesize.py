"""`thinkrec synthesize`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("synthesize")
@dataset_option
def command(dataset: str) -> None:
    """Let a teacher argue why users liked items or not."""
    with stage("synthesize", dataset) as run:
        from thinkrec.stages.synthesize import synthesize

        params = run.params
        run.facts.update(synthesize(run.layout, params.synthesize, params.prompt, params.seed))

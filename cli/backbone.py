"""`thinkrec backbone`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("backbone")
@dataset_option
def command(dataset: str) -> None:
    """Make the language model ready: pre-train the embedded one, or check another."""
    with stage("backbone", dataset) as run:
        from thinkrec.stages.backbone import make_backbone

        params = run.params
        run.facts.update(make_backbone(run.layout, params.backbone, params.prompt, params.seed))

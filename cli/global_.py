"""`thinkrec global`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("global")
@dataset_option
def command(dataset: str) -> None:
    """Train one LoRA on all data, for ratings and reasons together."""
    with stage("global", dataset, "interactions", "items", "keywords", "rationales", "backbone") as run:
        from thinkrec.stages.global_ import train_global

        params = run.params
        run.facts.update(train_global(run.layout, params.global_, params.prompt, params.seed))

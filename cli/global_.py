"""`thinkrec global`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, dry_run, dry_run_option, stage


@click.command("global")
@dataset_option
@dry_run_option
def command(dataset: str, dry: bool) -> None:
    """Train one LoRA on all data, for ratings and reasons together."""
    if dry:
        dry_run("global", dataset)
        return
    with stage("global", dataset) as run:
        from thinkrec.stages.global_ import train_global

        params = run.params
        run.facts.update(train_global(run.layout, params.global_, params.prompt, params.seed))

"""`thinkrec experts`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, dry_run, dry_run_option, stage


@click.command("experts")
@dataset_option
@dry_run_option
def command(dataset: str, dry: bool) -> None:
    """Train a LoRA for each group of users, starting from the global one."""
    if dry:
        dry_run("experts", dataset)
        return
    with stage("experts", dataset) as run:
        from thinkrec.stages.experts import train_experts

        params = run.params
        run.facts.update(
            train_experts(run.layout, params.experts, params.global_, params.prompt, params.seed)
        )

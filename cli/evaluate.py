"""`thinkrec evaluate`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, dry_run, dry_run_option, stage


@click.command("evaluate")
@dataset_option
@dry_run_option
def command(dataset: str, dry: bool) -> None:
    """Score all systems, measure them, generate reasons, write the report."""
    if dry:
        dry_run("evaluate", dataset)
        return
    with stage("evaluate", dataset) as run:
        from thinkrec.stages.evaluate import evaluate

        params = run.params
        run.facts.update(evaluate(run.layout, params, params.seed))

"""`thinkrec evaluate`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("evaluate")
@dataset_option
def command(dataset: str) -> None:
    """Score all systems, measure them, generate reasons, write the report."""
    with stage(
        "evaluate",
        dataset,
        "interactions",
        "items",
        "keywords",
        "rationales",
        "backbone",
        "yardsticks",
        "global_adapter",
        "clusters",
        "experts",
        "projector",
        encoders=True,
    ) as run:
        from thinkrec.stages.evaluate import evaluate

        params = run.params
        run.facts.update(evaluate(run.layout, params, params.seed))

"""`thinkrec experts`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("experts")
@dataset_option
def command(dataset: str) -> None:
    """Train a LoRA for each group of users, starting from the global one."""
    with stage(
        "experts",
        dataset,
        "interactions",
        "items",
        "keywords",
        "rationales",
        "backbone",
        "global_adapter",
        "clusters",
    ) as run:
        from thinkrec.stages.experts import train_experts

        params = run.params
        run.facts.update(
            train_experts(run.layout, params.experts, params.global_, params.prompt, params.seed)
        )

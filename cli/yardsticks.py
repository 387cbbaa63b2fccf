"""`thinkrec yardsticks`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("yardsticks")
@dataset_option
def command(dataset: str) -> None:
    """Fit gbdt: gradient-boosted trees over statistics of history and items."""
    with stage("yardsticks", dataset) as run:
        from thinkrec.stages.yardsticks import fit_yardsticks

        params, history = run.params, run.params.prompt.history
        tuned = params.tuned.get(dataset)
        run.facts.update(fit_yardsticks(run.layout, params.yardsticks, params.seed, history, tuned))

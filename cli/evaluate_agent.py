"""`thinkrec evaluate-agent`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("evaluate-agent")
@dataset_option
def command(dataset: str) -> None:
    """Let the agent and all others rank the same candidates; write the agent's report."""
    with stage("evaluate-agent", dataset) as run:
        from thinkrec.stages.evaluate_agent import evaluate_agent

        params = run.params
        run.facts.update(evaluate_agent(run.layout, params, params.seed))

"""`thinkrec agent-grpo`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("agent-grpo")
@dataset_option
def command(dataset: str) -> None:
    """Train the agent further by rewards on episodes of its own."""
    with stage("agent-grpo", dataset) as run:
        from thinkrec.stages.agent_grpo import train_agent_grpo

        params = run.params
        run.facts.update(train_agent_grpo(run.layout, params.agent, params.agent_grpo, params.seed))

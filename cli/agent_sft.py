"""`thinkrec agent-sft`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("agent-sft")
@dataset_option
def command(dataset: str) -> None:
    """Train the agent on the kept episodes."""
    with stage("agent-sft", dataset) as run:
        from thinkrec.stages.agent_sft import train_agent_sft

        params = run.params
        run.facts.update(train_agent_sft(run.layout, params.agent, params.agent_sft, params.seed))

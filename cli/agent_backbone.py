"""`thinkrec agent-backbone`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, stage


@click.command("agent-backbone")
@dataset_option
def command(dataset: str) -> None:
    """Make or check the language model that the agent is trained on."""
    with stage("agent-backbone", dataset) as run:
        from thinkrec.stages.agent_backbone import prepare_agent_backbone

        params = run.params
        run.facts.update(prepare_agent_backbone(run.layout, params.agent_backbone, params.agent, params.seed))

"""`thinkrec replay`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--case", "number", type=int, help="Number of the case; by default of any case.")
@click.option("--episode", "place", type=click.IntRange(min=1), default=1, show_default=True,
              help="Which of these episodes, from 1.")  # fmt: skip
def command(file: Path, number: int | None, place: int) -> None:
    """Show an episode of the agent from FILE, without a model.

    FILE has one episode per line: data/NAME/trajectories.jsonl, or a file of reports/NAME/agent/episodes.
    """
    from rich.console import Console

    from thinkrec.agent.rollout import read_trajectories
    from thinkrec.errors import DataError
    from thinkrec.reports.episode import render

    episodes = (each for each in read_trajectories(file) if number is None or each.number == number)
    chosen = next((each for count, each in enumerate(episodes, 1) if count == place), None)
    if chosen is None:
        of_case = "" if number is None else f" of case {number}"
        raise DataError(f"{file} has no episode {place}{of_case}")
    console = Console()
    for part in render(chosen):
        console.print(part)

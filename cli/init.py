"""`thinkrec init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--upgrade",
    "again",
    is_flag=True,
    help="Write a project's dvc.yaml again, after an upgrade of thinkrec; params.yaml stays as it is.",
)
def command(folder: Path, again: bool) -> None:
    """Make FOLDER a project of your own, outside the clone.

    It gets params.yaml with the default values and the embedded data set, dvc.yaml and .gitignore; git
    and DVC are initialised unless they are there. Then run `dvc repro` in it. FOLDER is new or empty.
    """
    from thinkrec_cli.project import create, upgrade

    if again:
        click.echo(f"{folder} is up to date; stages with other code than before: {listed(upgrade(folder))}")
    else:
        create(folder)
        click.echo(f"{folder} is a project: run `dvc repro` there")


def listed(stages: list[str]) -> str:
    """Names of stages in a sentence."""
    return ", ".join(stages) or "none"

"""`thinkrec init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--upgrade", is_flag=True, help="Write dvc.yaml of a project anew, after an upgrade of thinkrec."
)
def command(folder: Path, upgrade: bool) -> None:
    """Make FOLDER a project of your own, outside the clone.

    It gets params.yaml with the default values and the embedded data set, dvc.yaml and .gitignore; git
    and DVC are initialised unless they are there. Then run `dvc repro` in it. FOLDER is new or empty.
    """
    from thinkrec_cli import project

    if upgrade:
        changed = project.upgrade(folder)
        click.echo(f"{folder / project.PIPELINE} is up to date; other code than before: {told(changed)}")
    else:
        project.create(folder)
        click.echo(f"{folder} is a project: run `dvc repro` there")


def told(stages: list[str]) -> str:
    """Names of stages in a sentence."""
    return ", ".join(stages) or "none"

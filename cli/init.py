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
    help="Regenerate a project's dvc.yaml after an upgrade of thinkrec; params.yaml is not changed.",
)
def command(folder: Path, again: bool) -> None:
    """Create a project in FOLDER, outside the clone.

    Writes params.yaml with default values and the embedded data set, dvc.yaml and .gitignore, and initialises
    git and DVC if needed. Then run `dvc repro` there. FOLDER must be new or empty.
    """
    from thinkrec_cli.project import create, upgrade

    if again:
        click.echo(f"{folder} is up to date; stages whose code changed: {joined(upgrade(folder))}")
    else:
        create(folder)
        click.echo(f"{folder} is a project: run `dvc repro` there")


def joined(stages: list[str]) -> str:
    """Join the names of stages for a message, "none" if there are none."""
    return ", ".join(stages) or "none"

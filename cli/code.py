"""`thinkrec code`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("code")
@click.option("--edition", metavar="NUMBER", help="Refuse a dvc.yaml of another version.")
def command(edition: str | None) -> None:
    """Record hashes of the installed code that each stage depends on.

    For projects made by `thinkrec init`, where `dvc repro` runs it before all stages. After an upgrade of
    thinkrec, `thinkrec code` and then `dvc status` show which stages will run again.
    """
    from thinkrec_cli.fingerprints import record
    from thinkrec_cli.init import joined
    from thinkrec_cli.project import check_project

    check_project(Path(), edition)
    click.echo(f"stages whose code changed: {joined(record(Path()))}")

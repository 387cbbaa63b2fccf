"""`thinkrec code`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("code")
@click.option("--edition", metavar="NUMBER", help="Refuse a dvc.yaml that is not the installed version's.")
def command(edition: str | None) -> None:
    """Write down the hashes of the installed code that each stage depends on.

    For a project that `thinkrec init` made; `dvc repro` runs it there before all stages. After an upgrade of
    thinkrec, `thinkrec code` and then `dvc status` show what will run again.
    """
    from thinkrec_cli.fingerprints import record
    from thinkrec_cli.init import listed
    from thinkrec_cli.project import check_project

    check_project(Path(), edition)
    click.echo(f"stages with other code than before: {listed(record(Path()))}")

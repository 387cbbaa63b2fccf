"""`thinkrec doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from thinkrec.doctor.finding import Expected, Finding

_COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option(
    "--network/--no-network",
    default=True,
    show_default=True,
    help="Ask the endpoints of params.yaml, and the hub for missing weights, for an answer within 3 s.",
)
def command(as_json: bool, network: bool) -> None:
    """Find out what is wrong with this installation, machine and project.

    One line for each finding: ok, note or problem, what it is, and what to do. Looks at versions of packages,
    devices, memory, disk, params.yaml, dvc.yaml, the data and artifacts of each data set, weights, WordNet,
    endpoints in use, git and DVC. Run it in the project's root; elsewhere it looks at the machine alone.
    Changes nothing, and never shows a key. Exits with 1 if there is a problem, else with 0.
    """
    from thinkrec.doctor.diagnose import diagnose

    found = diagnose(expected=expected, network=network)
    problems = sum(each.state == "problem" for each in found)
    if as_json:
        from thinkrec import __version__

        said = {"thinkrec": __version__, "problems": problems, "findings": [asdict(each) for each in found]}
        click.echo(json.dumps(said, indent=1, ensure_ascii=False))
    else:
        show(found)
        click.echo(
            "no problems" if not problems else "1 problem" if problems == 1 else f"{problems} problems"
        )
    if problems:
        raise click.exceptions.Exit(1)


def expected() -> Expected:
    """Return what the installed version writes into projects."""
    from thinkrec.doctor.finding import Expected
    from thinkrec_cli.fingerprints import fingerprints
    from thinkrec_cli.pipeline import pipeline, project_pipeline
    from thinkrec_cli.project import check_project

    def projects() -> tuple[str, str]:
        return project_pipeline(), project_pipeline(language=False)

    return Expected(check_project, projects, pipeline, fingerprints)


def show(found: Sequence[Finding]) -> None:
    """Print findings as a table on a terminal, elsewhere or without rich as one line each."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        terminal = False
    else:
        terminal = sys.stdout.isatty()
    if not terminal:
        for each in found:
            remedy = f": {each.remedy}" if each.remedy else ""
            click.echo(f"{each.state:7}  {each.group:9}  {each.what}{remedy}")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    group = ""
    for each in found:
        what = Text(each.what)
        if each.remedy:
            what.append(f"\n{each.remedy}", style="cyan")
        state = Text(each.state, style=_COLOURS[each.state])
        table.add_row(Text(each.group if each.group != group else "", style="bold"), state, what)
        group = each.group
    Console().print(table)

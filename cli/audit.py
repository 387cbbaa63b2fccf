"""`thinkrec audit`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option


@click.command("audit")
@dataset_option
@click.option(
    "--systems",
    multiple=True,
    metavar="NAME",
    help="Also audit a system of the language model, such as thinkrec; repeatable. Each scores test three "
    "times and valid once.",
)
@click.option("--deep", is_flag=True, help="Compare weights above 64 MB with their manifests byte by byte.")
def command(dataset: str, systems: tuple[str, ...], deep: bool) -> None:
    """Prove from the artifacts that they contain no future data.

    Compares every file with its manifest; then recomputes every artifact if that is cheap, or else checks
    that it is derived only from permitted data. Encoders and gbdt are retrained. Also reports what is not
    checked and why, how many rows share a second, and how rolling compares with frozen histories. Writes
    reports/NAME/audit.json. Fails if a check fails.
    """
    from rich.console import Console

    from thinkrec.artifacts.lock import finish_pending
    from thinkrec.audit.table import tables
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.files import write_json
    from thinkrec.layout import Layout
    from thinkrec.stages.audit import audit, refuse_leaks

    layout = Layout(dataset)
    params = load_params()
    dataset_source(params, dataset)
    finish_pending(layout)
    report = audit(layout, params, systems, lambda what: click.echo(f"auditing {what}", err=True), deep)
    write_json(layout.audit, report)
    console = Console()
    for table in tables(report):
        console.print(table)
    click.echo(f"audit of {dataset}: written to {layout.audit}")
    refuse_leaks(report)

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
    help="A system of the language model to audit too, such as thinkrec; may be given several times. Each "
    "costs three scorings of test and one of valid.",
)
@click.option("--deep", is_flag=True, help="Compare weights above 64 MB with their manifests byte by byte.")
def command(dataset: str, systems: tuple[str, ...], deep: bool) -> None:
    """Prove on the artifacts that nothing in them knows the future.

    First compares every file with its manifest. Then makes every artifact again, as far as that is cheap,
    or checks that it follows from what it may know; encoders and gbdt are trained again. Names what no check
    looks at, and why, states how many rows share a second, and compares rolling with frozen histories. All
    of it is also written to
    reports/NAME/audit.json. Ends with an error when a check fails.
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

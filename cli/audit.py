"""`thinkrec audit`."""

from __future__ import annotations

import logging

import click

from thinkrec_cli.common import dataset_option, json_option, language_systems, print_json

log = logging.getLogger("thinkrec.audit")


@click.command("audit")
@dataset_option
@click.option(
    "--systems",
    multiple=True,
    metavar="NAME",
    shell_complete=language_systems,
    help="Also audit a system of the language model, such as thinkrec; repeatable. Each scores test three "
    "times and valid once.",
)
@click.option(
    "--shuffled",
    is_flag=True,
    help="Also measure UAUC with the labels of test permuted within each user: .5 unless the protocol, or a "
    "leak, gives labels away.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Permutations of --shuffled; a system that reads test's labels scores test once for each.",
)
@click.option("--deep", is_flag=True, help="Compare weights above 64 MB with their manifests byte by byte.")
@json_option
def command(
    dataset: str, systems: tuple[str, ...], shuffled: bool, draws: int, deep: bool, as_json: bool
) -> None:
    """Prove from the artifacts that they contain no future data.

    Compares every file with its manifest; then recomputes every artifact if that is cheap, or else checks
    that it is derived only from permitted data. Encoders and gbdt are retrained. Also reports what is not
    checked and why, and how many rows share a second. Writes reports/NAME/audit.json. Fails if a check
    fails.
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

    def step(what: str) -> None:
        log.info("auditing %s", what)

    report = audit(layout, params, systems, step, deep, draws if shuffled else 0)
    write_json(layout.audit, report)
    if as_json:
        print_json(report)
    else:
        console = Console()
        for table in tables(report):
            console.print(table)
        click.echo(f"audit of {dataset}: written to {layout.audit}")
    refuse_leaks(report)

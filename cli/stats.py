"""`thinkrec stats`."""

from __future__ import annotations

import click

from thinkrec_cli.common import dataset_option, json_option, print_json


@click.command("stats")
@dataset_option
@json_option
def command(dataset: str, as_json: bool) -> None:
    """Show the statistics of a prepared data set, and compare them with published counts.

    Prints the usual counts overall and per split, and what prep dropped. For the paper's data sets, the
    published counts are shown next to ours. Writes reports/NAME/stats.json.
    """
    from rich.console import Console

    from thinkrec.artifacts.run import ready
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.files import write_json
    from thinkrec.layout import Layout
    from thinkrec.reports.statistics import tables
    from thinkrec.stages.stats import statistics

    layout, params = Layout(dataset), load_params()
    source = dataset_source(params, dataset)
    ready(layout, "stats", params)
    stats = statistics(layout, source)
    write_json(layout.stats, stats)
    if as_json:
        print_json(stats)
        return
    console = Console()
    for table in tables(stats):
        console.print(table)
    click.echo(f"stats of {dataset}: written to {layout.stats}")

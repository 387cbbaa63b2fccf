"""`thinkrec compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from thinkrec_cli.common import dataset_option

if TYPE_CHECKING:
    from thinkrec.data.tables import Split
    from thinkrec.protocols import Protocol


@click.command("compare")
@click.argument("a")
@click.argument("b")
@dataset_option
@click.option(
    "--protocol",
    type=click.Choice(["frozen", "rolling", "train"]),
    help="What the histories of scored rows hold.  [default: the first of evaluate.protocols]",
)
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option(
    "--draws",
    type=click.IntRange(100, 100_000),
    help="Number of bootstrap resamples.  [default: evaluate.bootstrap_draws]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Seed of the resampling.  [default: seed of params.yaml]",
)
def command(
    a: str,
    b: str,
    dataset: str,
    protocol: Protocol | None,
    split: Split,
    draws: int | None,
    seed: int | None,
) -> None:
    """Compare systems A and B: differences with confidence intervals, by slice and metric.

    A and B are any two systems scored by `thinkrec evaluate`, including floors and ceilings. The paired
    bootstrap resamples users, the same for both systems; if a system was trained with several seeds, each
    resample uses one of them. Neither system is ahead if the interval contains 0. Beside the interval, the
    standard deviations between users and between trainings are given apart. Writes
    reports/NAME/compare/PROTOCOL/A-B-SPLIT.json.
    """
    from rich.console import Console

    from thinkrec.artifacts.run import ready
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.layout import Layout
    from thinkrec.reports.comparison import compare_systems, tables

    params, layout = load_params(), Layout(dataset)
    dataset_source(params, dataset)
    ready(layout, "compare", params)
    protocol = protocol or params.evaluate.headline
    comparison = compare_systems(
        layout,
        a,
        b,
        protocol,
        split,
        params.evaluate.bootstrap_draws if draws is None else draws,
        params.seed if seed is None else seed,
    )
    console = Console()
    for table in tables(comparison):
        console.print(table)
    click.echo(f"compare of {dataset}: written to {layout.comparison(a, b, protocol, split)}")

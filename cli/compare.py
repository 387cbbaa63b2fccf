"""`thinkrec compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from thinkrec_cli.common import dataset_option, json_option, print_json, scored_systems

if TYPE_CHECKING:
    from thinkrec.data.tables import Split
    from thinkrec.protocols import Protocol


@click.command("compare")
@click.argument("a", required=False, shell_complete=scored_systems)
@click.argument("b", required=False, shell_complete=scored_systems)
@dataset_option
@click.option("--published", is_flag=True, help="Show published figures beside ours (of A only, if named).")
@click.option(
    "--protocol",
    type=click.Choice(["frozen", "rolling", "train"]),
    help="What the histories of scored rows hold.  [default: the first of evaluate.protocols; with "
    "--published that of the published figures]",
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
@json_option
def command(
    a: str | None,
    b: str | None,
    dataset: str,
    published: bool,
    protocol: Protocol | None,
    split: Split,
    draws: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Compare systems A and B, or ours with published figures.

    A and B are any two systems scored by `thinkrec evaluate`, including floors and ceilings. Prints their
    differences with confidence intervals, by slice and metric. The paired bootstrap resamples users, the same
    for both systems; if a system was trained with several seeds, each resample uses one of them. Neither
    system is ahead if the interval contains 0. Beside it: the difference's standard deviations between users
    and between trainings. Writes reports/NAME/compare/PROTOCOL/A-B-SPLIT.json.

    With --published, prints what was published of the same data set (readers ml1m, yelp, book), protocol
    and population (all test rows, warm ones, users with a history) below our figures, with sources and what
    differs. Writes reports/NAME/compare/published.json.
    """
    if published:
        _refuse(b=b, split=split, draws=draws, seed=seed)
        _published(dataset, protocol, a, as_json)
    elif a is None or b is None:
        raise click.UsageError(f"Missing argument '{'A' if a is None else 'B'}'.")
    else:
        _compare(a, b, dataset, protocol, split, draws, seed, as_json)


def _refuse(b: str | None, split: Split, draws: int | None, seed: int | None) -> None:
    """Refuse what says nothing beside --published."""
    if b is not None:
        raise click.UsageError(f"--published shows all systems, or one: leave out {b}.")
    if split != "test":
        raise click.UsageError("Published figures are of test rows: leave out --split.")
    if draws is not None or seed is not None:
        raise click.UsageError(
            "--published shows the intervals of metrics.json: leave out --draws and --seed."
        )


def _published(dataset: str, protocol: Protocol | None, system: str | None, as_json: bool) -> None:
    from rich.console import Console

    from thinkrec.artifacts.run import ready
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.layout import Layout
    from thinkrec.reports.published import compare_published, figures_of, tables
    from thinkrec.stages.stats import statistics

    params, layout = load_params(), Layout(dataset)
    source = dataset_source(params, dataset)
    figures = figures_of(source, dataset, protocol)
    ready(layout, "stats", params, ("metrics", "slices"))
    data = statistics(layout, source)["published"]
    comparison = compare_published(layout, figures, data, system)
    if as_json:
        print_json(comparison)
        return
    console = Console()
    for table in tables(comparison):
        console.print(table)
    click.echo(f"compare of {dataset}: written to {layout.published}")


def _compare(
    a: str,
    b: str,
    dataset: str,
    protocol: Protocol | None,
    split: Split,
    draws: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
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
    if as_json:
        print_json(comparison)
        return
    console = Console()
    for table in tables(comparison):
        console.print(table)
    click.echo(f"compare of {dataset}: written to {layout.comparison(a, b, protocol, split)}")

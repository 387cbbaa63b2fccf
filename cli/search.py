"""`thinkrec search`."""

from __future__ import annotations

from pathlib import Path

import click

from thinkrec_cli.common import dataset_option

SHOWN = 5


@click.command("search")
@dataset_option
@click.option("--model", "models", multiple=True, metavar="NAME", help="Model to search; all by default.")
@click.option(
    "--trials", default=12, show_default=True, type=click.IntRange(1, 10_000), help="Trials of each model."
)
def command(dataset: str, models: tuple[str, ...], trials: int) -> None:
    """Choose learning rate, width and weight decay of each encoder, and gbdt's options, on valid.

    The same number of trials for every model; test is never read. An interrupted search resumes when run
    again. The trials go to reports/NAME/search/MODEL.csv, the winner into params.yaml, under `tuned`, as soon
    as a model's search has ended; `dvc repro` then trains with it.
    """
    from rich.console import Console
    from rich.table import Table

    from thinkrec.artifacts.run import ready
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.config.tuned import write_tuned
    from thinkrec.layout import Layout
    from thinkrec.stages.search import search

    params, layout = load_params(), Layout(dataset)
    dataset_source(params, dataset)
    ready(Layout(dataset), "search", params)
    wanted = models or (*params.cf.models, "gbdt")
    for result in search(layout, params, wanted, trials):
        write_tuned(Path("params.yaml"), dataset, result.tuned)
        table = Table("trial", "valid AUC", *result.values, title=f"{result.model}: the best {SHOWN} trials")
        for trial in result.trials[:SHOWN]:
            value = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else "stopped early"
            table.add_row(str(trial.number), value, *(f"{trial.params[key]:.3g}" for key in result.values))
        Console().print(table)
        click.echo(f"{result.model} of {dataset}: all trials in {result.table}, the winner in params.yaml")

"""`thinkrec search`."""

from __future__ import annotations

from pathlib import Path

import click

from thinkrec_cli.common import dataset_option, tuned_models

TOP = 5


@click.command("search")
@dataset_option
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    shell_complete=tuned_models,
    help="Model to tune; all by default.",
)
@click.option(
    "--trials", default=12, show_default=True, type=click.IntRange(1, 10_000), help="Trials per model."
)
def command(dataset: str, models: tuple[str, ...], trials: int) -> None:
    """Tune learning rate, embedding size and weight decay of each encoder, and gbdt's options, on valid.

    Every model has the same number of trials; test is never read. An interrupted search resumes when run
    again. Writes the trials to reports/NAME/search/MODEL.csv and the best values to `tuned` in params.yaml,
    as soon as a model is done; `dvc repro` then trains with them.
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
        table = Table("trial", "valid AUC", *result.values, title=f"{result.model}: the best {TOP} trials")
        for trial in result.trials[:TOP]:
            value = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else "stopped early"
            table.add_row(str(trial.number), value, *(f"{trial.params[key]:.3g}" for key in result.values))
        Console().print(table)
        click.echo(f"{result.model} of {dataset}: all trials in {result.table}, the best in params.yaml")

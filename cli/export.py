"""`thinkrec export`."""

from __future__ import annotations

from pathlib import Path

import click

from thinkrec_cli.common import dataset_option, summary, variant_option


@click.command("export")
@dataset_option
@variant_option
@click.option(
    "--adapter",
    default="global",
    show_default=True,
    metavar="NAME",
    help="Adapter to export: global, or the number of an expert.",
)
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="New or empty folder."
)
def command(dataset: str, variant: str, adapter: str, to: Path) -> None:
    """Write one adapter so that other engines load it; of several seeds, the first's.

    FOLDER/merged is a Hugging Face model with the adapter merged into its weights, FOLDER/adapter is the
    adapter for PEFT, and FOLDER/parity.json has the scores of 50 test prompts by thinkrec, both exports and
    the bare backbone. If a score differs by more than the tolerance, nothing is written.
    """
    from thinkrec.artifacts.run import ready
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.layout import Layout
    from thinkrec.stages.export import export, find_adapter

    params, layout = load_params(), Layout(dataset, variant=variant)
    dataset_source(params, dataset)
    find_adapter(layout, adapter)
    ready(layout, "export", params, ["global_adapter" if adapter == "global" else f"experts/{adapter}"])
    facts = export(layout, params.of_variant(variant), adapter, to, params.seed)
    click.echo(f"export of {dataset}: written to {to}")
    for line in summary(facts):
        click.echo(f"  {line}")

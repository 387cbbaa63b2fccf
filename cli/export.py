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
    "--to", required=True, metavar="FOLDER", help="New or empty folder, or hub:OWNER/NAME for the hub."
)
@click.option("--public", is_flag=True, help="Let everybody read the repository on the hub.")
def command(dataset: str, variant: str, adapter: str, to: str, public: bool) -> None:
    """Write one adapter so that other engines load it; of several seeds, the first's.

    FOLDER/merged is a Hugging Face model with the adapter merged into its weights, FOLDER/adapter is the
    adapter for PEFT, FOLDER/README.md is a model card, FOLDER/scoring.json says how to score elsewhere, and
    FOLDER/parity.json has the scores of 20 test prompts by thinkrec, both exports and the bare backbone. If a
    score differs by more than the tolerance, nothing is written.

    hub:OWNER/NAME uploads all that in one commit, to a private repository unless --public. Rows of a data
    set that may not be passed on are left out of parity.json. The token is the one of `hf auth login` or of
    the environment variable HF_TOKEN.
    """
    from tempfile import TemporaryDirectory

    from thinkrec.artifacts.run import ready
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.layout import Layout
    from thinkrec.llm.hub import check_repository, repository, upload
    from thinkrec.stages.export import export, find_adapter

    name = repository(to)
    if public and not name:
        raise click.UsageError("--public goes with --to hub:OWNER/NAME")
    params, layout = load_params(), Layout(dataset, variant=variant)
    dataset_source(params, dataset)
    find_adapter(layout, adapter)
    ready(layout, "export", params, ["global_adapter" if adapter == "global" else f"experts/{adapter}"])
    own = params.of_variant(variant)
    if name:
        check_repository(name, public)
        with TemporaryDirectory() as folder:
            place = Path(folder) / "export"
            facts = export(layout, own, adapter, place, params.seed, shared=True)
            where = upload(place, name, public, f"{adapter} of {variant} on {dataset}")
    else:
        facts, where = export(layout, own, adapter, Path(to), params.seed), to
    click.echo(f"export of {dataset}: written to {where}")
    for line in summary(facts):
        click.echo(f"  {line}")

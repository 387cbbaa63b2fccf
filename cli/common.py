"""Shared by several commands: their options, how these complete in a shell, and the display of results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from thinkrec.variants import DEFAULT, VARIANTS


def _datasets(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the name of a data set; whatever is wrong with params.yaml, a shell hears nothing of it."""
    with suppress(Exception):
        return _begin(begun, _params()["datasets"])
    return []


def _params() -> dict[str, Any]:
    """What params.yaml holds, unchecked."""
    from thinkrec.config.text import mapping, read_text

    path = Path("params.yaml")
    return mapping(read_text(path), path)


def _begin(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if str(name).startswith(begun)]


def systems(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the name of a system, floors left out."""
    from thinkrec.config.names import SCORING

    return _begin(begun, SCORING)


system_option = click.option(
    "--system",
    default="thinkrec",
    show_default=True,
    metavar="NAME",
    shell_complete=systems,
    help="A system that `evaluate` knows.",
)


def language_systems(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the name of a system of the language model."""
    from thinkrec.systems.parts import LANGUAGE

    return _begin(begun, LANGUAGE)


def tuned_models(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the name of a model that `search` tunes: those of `cf.models` in params.yaml, and gbdt."""
    with suppress(Exception):
        return _begin(begun, [*_params()["cf"]["models"], "gbdt"])
    return []


def presets(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the name of a preset."""
    from thinkrec.config.presets import PRESETS

    return _begin(begun, PRESETS)


def retrievers(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete an encoder with a count: those that were trained, on `--dataset` where that stands before."""
    from thinkrec.config.names import ENCODERS
    from thinkrec.layout import Layout

    with suppress(Exception):
        dataset = context.params.get("dataset")
        datasets = [dataset] if dataset else list(_params()["datasets"])
        trained = (name for name in ENCODERS if any(Layout(each).encoder(name).exists() for each in datasets))
        return _begin(begun, [f"{name}:200" for name in trained])
    return []


def scored_systems(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the name of a system that `evaluate` scored, of `--dataset` where that stands before."""
    from thinkrec.layout import Layout

    with suppress(Exception):
        dataset = context.params.get("dataset")
        folders = [Layout(dataset).predictions] if dataset else Path("reports").glob("*/predictions")
        files = (path.name for folder in folders for path in folder.glob("*/*.parquet"))
        names = {name.removesuffix(".parquet") for name in files if not name.endswith(".users.parquet")}
        return sorted(name for name in names if name.startswith(begun))
    return []


dataset_option = click.option(
    "--dataset",
    required=True,
    metavar="NAME",
    shell_complete=_datasets,
    help="Name of a data set under `datasets:` in params.yaml.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document in place of text and tables."
)


variant_option = click.option(
    "--variant",
    default=DEFAULT,
    show_default=True,
    type=click.Choice(list(VARIANTS)),
    metavar="NAME",
    help="Variant of the language model: " + ", ".join(VARIANTS) + ".",
)


def summary(facts: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a line `key: value` for each fact, with the keys of nested facts joined by dots."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from summary(value, f"{prefix}{key}.")
        else:
            text = f"{value:.4g}" if isinstance(value, float) else value
            yield f"{prefix}{key}: {text}"


def print_json(value: Any) -> None:
    """Print a command's result as a JSON document."""
    from thinkrec.files import json_text

    click.echo(json_text(value), nl=False)


def printable(text: str) -> str:
    """Return a text of the data or of a model without control characters, for a terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )

"""Shared by several commands: the option for the data set, and the display of facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from thinkrec.variants import DEFAULT, VARIANTS

dataset_option = click.option(
    "--dataset", required=True, metavar="NAME", help="Name of a data set under `datasets:` in params.yaml."
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

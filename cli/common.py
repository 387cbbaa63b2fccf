"""What several commands share: the data set's option, and how facts are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from thinkrec.variants import DEFAULT, VARIANTS

dataset_option = click.option(
    "--dataset", required=True, metavar="NAME", help="Data set, by its name under `datasets:` in params.yaml."
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
    """One `key: value` line for each fact, keys of nested facts joined by dots."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from summary(value, f"{prefix}{key}.")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            yield f"{prefix}{key}: {shown}"

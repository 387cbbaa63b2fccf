"""`thinkrec preset`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("preset")
@click.argument("name", metavar="{cpu|paper|paper-8gpu}")
def command(name: str) -> None:
    """Write a set of values into params.yaml and show what changed.

    cpu is what params.yaml comes with: the embedded backbone, on a CPU. paper has the paper's values:
    Llama-3-8B-Instruct on a GPU, language models at an endpoint as teachers. seed, datasets, agents,
    tuned and demo stay as they are.
    """
    from thinkrec.config.presets import apply_preset
    from thinkrec.teachers.redact import clean

    changes = apply_preset(Path("params.yaml"), name)
    for change in changes:
        click.echo(clean(f"{change.key}: {change.old} -> {change.new}"))
    click.echo(f"preset {name}: {len(changes)} values changed in params.yaml")

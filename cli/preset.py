"""`thinkrec preset`."""

from __future__ import annotations

from pathlib import Path

import click

from thinkrec_cli.common import presets


@click.command("preset")
@click.argument("name", metavar="{cpu|laptop|small-gpu|paper|paper-8gpu}", shell_complete=presets)
def command(name: str) -> None:
    """Write a preset into params.yaml and show what changed.

    cpu is the default: SmolLM2 on a CPU, sized for the embedded data set. laptop is the same for
    MovieLens-1M or own data. small-gpu is Qwen3-0.6B on one GPU. paper has the paper's values:
    Llama-3-8B-Instruct on a GPU, and language models behind an endpoint as teachers. seed, datasets,
    prep, variants, agents, tuned and demo are not changed.
    """
    from thinkrec.config.presets import apply_preset
    from thinkrec.teachers.redact import clean

    changes = apply_preset(Path("params.yaml"), name)
    for change in changes:
        click.echo(clean(f"{change.key}: {change.old} -> {change.new}"))
    click.echo(f"preset {name}: {len(changes)} values changed in params.yaml")

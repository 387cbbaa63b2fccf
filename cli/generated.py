"""Generated files: written, or compared with the existing ones."""

from __future__ import annotations

from pathlib import Path

import click

from thinkrec.files import whole


def write(path: Path, text: str, module: str, check: bool) -> int:
    """Write a generated file, or only check it.

    Args:
        path: of the file.
        text: its content.
        module: the module that generates it with `python -m`.
        check: write nothing.

    Returns:
        1 if the file is out of date and was not written, else 0.
    """
    if not check:
        with whole(path) as beside:
            beside.write_text(text, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    click.echo(f"{path} is out of date: run `python -m {module}`", err=True)
    return 1

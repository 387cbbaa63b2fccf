"""`thinkrec mcp`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click

from thinkrec_cli.common import dataset_option, system_option


@click.command("mcp")
@dataset_option
@system_option
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="The folder of params.yaml: assistants start servers anywhere.",
)
def command(dataset: str, system: str, project: Path) -> None:
    """Offer a trained system to assistants as tools, over the Model Context Protocol.

    An assistant starts this command and talks to it on standard input and output. The tools find items,
    score, recommend and explain; with the agent's five tools where their inputs were made. They only read.
    The command ends when its input ends.
    """
    from thinkrec.errors import ConfigError

    if find_spec("mcp") is None:
        raise ConfigError("`thinkrec mcp` needs the package mcp: run `pip install 'thinkrec[serve]'`")
    from thinkrec.serve.mcp_server import serve, server
    from thinkrec.serve.tools import Desk

    os.chdir(project)
    with _stdout_kept():
        desk = Desk.load(dataset=dataset, system=system)
        ready = server(desk.tools, desk.instructions)
    click.echo(f"mcp: {system} of {dataset} waits for an assistant on standard input", err=True)
    _leave_on_interrupt()
    serve(ready)
    _leave(0)  # a call that nobody waits for any more would keep the process


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """Lead to stderr what packages print while they load: on stdout an assistant expects the protocol."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _leave(code: int) -> NoReturn:
    """End the process at once, whatever its threads do."""
    import logging

    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _leave_on_interrupt() -> None:
    """Make Ctrl-C end the process at once: a thread that waits for input can't be stopped."""
    import signal

    from thinkrec_cli.main import INTERRUPTED

    def leave(*_: object) -> None:
        os.write(2, b"\nstopped\n")
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, leave)

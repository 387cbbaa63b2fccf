"""docs/cli.md made from the commands: `python -m thinkrec_cli.reference [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from thinkrec_cli.commands import COMMANDS, main
from thinkrec_cli.generated import write

_HEAD = """\
# The command line

Made by `python -m thinkrec_cli.reference`; `.ci/run` checks that it is up to date.
"""
_CODES = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | all went well |
| 1 | something unexpected; `thinkrec --debug ...` shows the traceback |
| 2 | the command line is wrong: unknown command or option, missing argument |
| 3 | params.yaml, or a data set's name, is wrong |
| 4 | an input is not there yet; the message names the command that makes it |
| 5 | raw or prepared data can't be used |
| 6 | a backbone, adapter, encoder or projector can't be used |
| 7 | a keyword extractor or reasoning teacher failed for good |
| 8 | the disk is full or may not be written, or another thing lies where a file or folder belongs |
| 9 | another process runs the same stage of the same data set |
| 10 | a trained system can't answer: an unknown id, an empty list, an item of the history |
| 130 | interrupted (Ctrl-C); run the same command again |
"""


def reference() -> str:
    """The text of docs/cli.md: the help of every command, as `--help` prints it."""
    root = click.Context(main, info_name="thinkrec", max_content_width=100, terminal_width=100)
    parts = [_HEAD, f"## thinkrec\n\n```\n{main.get_help(root)}\n```\n"]
    for name in COMMANDS:
        command = main.get_command(root, name)
        if command is not None:
            context = click.Context(command, info_name=name, parent=root, terminal_width=100)
            parts.append(f"## thinkrec {name}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join([*parts, _CODES])


if __name__ == "__main__":
    sys.exit(write(Path("docs/cli.md"), reference(), "thinkrec_cli.reference", "--check" in sys.argv[1:]))

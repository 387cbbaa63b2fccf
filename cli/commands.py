"""The group of all commands, each imported on demand."""

from __future__ import annotations

import os
from importlib import import_module

import click

from thinkrec import __version__
from thinkrec.pipeline import STAGES
from thinkrec_cli.logs import FORMAT, JsonFormatter, as_json
from thinkrec_cli.stages import stage_command

COMMANDS = (
    "init", "fetch", *STAGES, "recommend", "explain", "serve", "mcp",
    "audit", "compare", "export", "search", "replay", "stats", "preset", "code", "doctor",
)  # fmt: skip
"""Names of all commands, in the order of the pipeline; those that are not stages have their own modules."""


class Commands(click.Group):
    """A group whose commands come from the table of stages, or from a module imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the pipeline."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command with this name, or None."""
        if cmd_name in STAGES:
            return stage_command(STAGES[cmd_name])
        return import_module(f"thinkrec_cli.{cmd_name}").command if cmd_name in COMMANDS else None


def _set_format(context: click.Context, option: click.Parameter, value: str) -> None:
    """Set the format before anything else can fail, for the processes of a training as well."""
    os.environ[FORMAT] = value


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="thinkrec")
@click.option("--debug", is_flag=True, help="Show the traceback of errors (also: THINKREC_DEBUG=1).")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar=FORMAT,
    is_eager=True,
    expose_value=False,
    callback=_set_format,
    help=f"Lines on stderr: sentences, or a JSON object each, progress and errors too (also: {FORMAT}).",
)
def main(debug: bool) -> None:
    """Train and evaluate a language model that ranks items and explains why.

    Each stage is a command; `dvc repro` runs all stages that changed, in order. Run commands in the root of
    the project, the folder of params.yaml.
    """
    if debug:
        os.environ["THINKREC_DEBUG"] = "1"
    quiet()


def quiet() -> None:
    """Log this package's progress to stderr, and only warnings of other packages."""
    import logging
    import warnings

    from thinkrec.progress import AboveBars, Bar, is_drawn
    from thinkrec.teachers.redact import CleanFormatter

    handler, Bar.records = AboveBars(), as_json()
    handler.setFormatter(JsonFormatter() if as_json() else CleanFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.captureWarnings(as_json())
    logging.getLogger("thinkrec").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not is_drawn():  # in a log, bars of other packages would be noise
        for package in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
            os.environ.setdefault(package, "1")

"""The `thinkrec` command: finds its subcommand; what goes wrong becomes one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click

from thinkrec import __version__
from thinkrec.errors import StorageError, ThinkrecError

INTERRUPTED = 130
COMMANDS = {
    "fetch": "fetch",
    "prep": "prep",
    "summarize": "summarize",
    "synthesize": "synthesize",
    "backbone": "backbone",
    "cf": "cf",
    "yardsticks": "yardsticks",
    "global": "global_",
    "cluster": "cluster",
    "experts": "experts",
    "projector": "projector",
    "evaluate": "evaluate",
    "agent-backbone": "agent_backbone",
    "trajectories": "trajectories",
    "agent-sft": "agent_sft",
    "agent-grpo": "agent_grpo",
    "evaluate-agent": "evaluate_agent",
    "audit": "audit",
    "compare": "compare",
    "export": "export",
    "search": "search",
    "replay": "replay",
    "stats": "stats",
    "preset": "preset",
}


class Commands(click.Group):
    """A group whose commands are modules of this package, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the pipeline."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None where there is none of that name."""
        module = COMMANDS.get(cmd_name)
        return import_module(f"thinkrec_cli.{module}").command if module else None


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="thinkrec")
@click.option("--debug", is_flag=True, help="Show the traceback of errors (also: THINKREC_DEBUG=1).")
def main(debug: bool) -> None:
    """Train and evaluate a language model that ranks items and says why.

    Each stage is a command; `dvc repro` runs all of them in order, those that changed. Run in the
    project's root, the folder that holds params.yaml.
    """
    if debug:
        os.environ["THINKREC_DEBUG"] = "1"
    _quiet()


def _quiet() -> None:
    """Log this package's progress to stderr, of other packages warnings only."""
    import logging
    import warnings

    from thinkrec.progress import AboveBars

    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[AboveBars(sys.stderr)])
    logging.getLogger("thinkrec").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():  # their bars of loading and mapping, all short, would be lines of a log
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def run(args: list[str] | None = None) -> int:
    """Run the command line; never raises what a user can cause.

    Returns:
        The exit code: 0, 1 (unexpected), 2 (usage), an error's own, or 130 (interrupted).
    """
    try:
        with main.make_context("thinkrec", list(sys.argv[1:] if args is None else args)) as context:
            main.invoke(context)
            sys.stdout.flush()
        return 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\nstopped; nothing is half-written; run the same command again",
            err=True,
        )
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("THINKREC_DEBUG"):
            raise
        return _told(error)


def _told(error: Exception) -> int:
    """Print one sentence for an error and give its exit code."""
    code, said = 1, f"{type(error).__name__}: {error}; for the traceback: `thinkrec --debug ...`"
    if isinstance(error, ThinkrecError):
        code, said = error.exit_code, str(error)
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        # What a library wrote on its own, outside thinkrec.files.
        code = StorageError.exit_code
        said = "no space left on the disk; free some, then run the same command again"
    elif isinstance(error, OSError) and error.filename is not None:
        from thinkrec.files import why

        code, said = StorageError.exit_code, f"cannot read or write {error.filename}: {why(error)}"
    click.echo(f"error: {said}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(run())

"""The `thinkrec` command: every error becomes one sentence and an exit code.

All imports are inside functions, so that Ctrl-C is handled during imports too.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130
COMPLETE = "_THINKREC_COMPLETE"
"""The environment variable by which a shell asks how a command line may go on."""


def run(args: list[str] | None = None) -> int:
    """Run the command line; no error that a user can cause is raised.

    Args:
        args: arguments in place of the process's own. With the process's own, it will exit with the returned
            code even if Ctrl-C is pressed during shutdown.

    Returns:
        The exit code: 0, 1 (unexpected), 2 (usage), that of the error, or 130 (interrupted).
    """
    if args is not None:
        from thinkrec_cli.logs import as_before

        with as_before():
            return _run(args)
    return _run(args)


def _run(args: list[str] | None) -> int:
    try:
        code = _code(args)
        if args is None:
            _hold(code)
    except KeyboardInterrupt:
        code = INTERRUPTED
        if args is None:
            _hold(code)
        from thinkrec_cli.logs import say_error

        say_error("stopped; nothing is half-written; run the same command again", code, "\n")
    return code


def _hold(code: int) -> None:
    """Make Ctrl-C end the process immediately with its exit code from now on."""
    import atexit
    import os
    import signal

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return

    def leave(*_: object) -> None:
        try:
            sys.stdout.flush()
        finally:
            os._exit(code)

    signal.signal(signal.SIGINT, leave)
    # At shutdown Python would restore the default handler, with another exit code; SIG_IGN stays.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _code(args: list[str] | None) -> int:
    """Run the command line and return its exit code."""
    import os

    import click

    from thinkrec_cli.commands import main
    from thinkrec_cli.logs import as_json, say_error

    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(main, {}, "thinkrec", COMPLETE, instruction)
    try:
        try:
            with main.make_context("thinkrec", list(sys.argv[1:] if args is None else args)) as context:
                main.invoke(context)
                sys.stdout.flush()
            return 0
        finally:
            if shown := sys.modules.get("thinkrec.progress"):
                shown.close_all()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and any(
            error.option_name in each.opts for each in main.params
        ):
            place = f"{error.option_name} stands before the command: thinkrec {error.option_name} ..."
            error = click.UsageError(f"{error.format_message()} {place}", error.ctx)
        if as_json():
            say_error(error.format_message(), error.exit_code)
        else:
            error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """Print an error as one sentence, or its traceback in debug mode, and return its exit code."""
    import errno
    import os

    from thinkrec.errors import StorageError, ThinkrecError
    from thinkrec.teachers.redact import clean, traceback_text
    from thinkrec_cli.common import printable
    from thinkrec_cli.logs import as_json, say_error

    code, message = 1, f"{type(error).__name__}: {error}; for the traceback: `thinkrec --debug ...`"
    if isinstance(error, ThinkrecError):
        code, message = error.exit_code, str(error)
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        # A library's own write, outside thinkrec.files.
        code = StorageError.exit_code
        message = "no space left on the disk; free some, then run the same command again"
    elif isinstance(error, OSError) and error.filename is not None:
        from thinkrec.files import reason_of

        code, message = StorageError.exit_code, f"cannot read or write {error.filename}: {reason_of(error)}"
    trace = traceback_text(error) if os.environ.get("THINKREC_DEBUG") else ""
    if trace and not as_json():
        print(trace, file=sys.stderr)
    else:
        say_error(printable(clean(message)), code, **({"traceback": trace} if trace else {}))
    return code


if __name__ == "__main__":
    sys.exit(run())

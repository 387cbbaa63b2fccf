"""The `thinkrec` command: what goes wrong becomes one sentence and an exit code.

All imports are within functions, so that Ctrl-C meets them there.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def run(args: list[str] | None = None) -> int:
    """Run the command line; never raises what a user can cause.

    Args:
        args: in place of the process's own; with its own, the process ends with what is returned, even where
            Ctrl-C comes while it ends.

    Returns:
        The exit code: 0, 1 (unexpected), 2 (usage), an error's own, or 130 (interrupted).
    """
    try:
        code = _code(args)
        if args is None:
            _hold(code)
    except KeyboardInterrupt:
        code = INTERRUPTED
        if args is None:
            _hold(code)
        print("\nstopped; nothing is half-written; run the same command again", file=sys.stderr)
    return code


def _hold(code: int) -> None:
    """Let Ctrl-C end the process at once with its exit code from now on."""
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
    # Python puts the default back before it ends, which would be another exit code, but leaves this alone.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _code(args: list[str] | None) -> int:
    """Run the command line and give its exit code."""
    import os

    import click

    from thinkrec_cli.commands import main

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
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # Whoever read our output has gone; python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> int:
    """Print one sentence for an error, or its traceback where that is wanted, and give its exit code."""
    import errno
    import os

    from thinkrec.errors import StorageError, ThinkrecError
    from thinkrec.teachers.redact import clean, traceback_text

    code, said = 1, f"{type(error).__name__}: {error}; for the traceback: `thinkrec --debug ...`"
    if isinstance(error, ThinkrecError):
        code, said = error.exit_code, str(error)
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        # What a library wrote on its own, outside thinkrec.files.
        code = StorageError.exit_code
        said = "no space left on the disk; free some, then run the same command again"
    elif isinstance(error, OSError) and error.filename is not None:
        from thinkrec.files import reason_of

        code, said = StorageError.exit_code, f"cannot read or write {error.filename}: {reason_of(error)}"
    wanted = os.environ.get("THINKREC_DEBUG")
    print(traceback_text(error) if wanted else clean(f"error: {said}"), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(run())

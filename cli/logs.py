"""What commands write to stderr: lines for people, or JSON objects for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

FORMAT = "THINKREC_LOG_FORMAT"
"""The environment variable that says which, for this process and those that it starts."""


def as_json() -> bool:
    """Say whether every line on stderr is a JSON object."""
    return os.environ.get(FORMAT) == "json"


@contextmanager
def as_before() -> Iterator[None]:
    """Take the format back that a command sets, for whoever runs several in one process."""
    before = os.environ.get(FORMAT)
    try:
        yield
    finally:
        os.environ.pop(FORMAT, None)
        if before is not None:
            os.environ[FORMAT] = before
        if shown := sys.modules.get("thinkrec.progress"):
            shown.Bar.records = as_json()


class JsonFormatter(logging.Formatter):
    """Formats log records as JSON objects, one a line, and cleans them.

    Keys: time, level, logger, message; traceback where there is one; the figures of a progress record, see
    `thinkrec.progress.Bar`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the cleaned record as a line of JSON."""
        from thinkrec.teachers.redact import cleaned

        said = {
            "time": _time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "progress", {}),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return _line(cleaned(said))


def say_error(message: str, code: int, before: str = "error: ", **more: Any) -> None:
    """Write a command's last line: why it failed, and in JSON with which exit code.

    Args:
        message: cleaned.
        code: the exit code.
        before: what a line for people begins with.
        more: further values of the JSON object.
    """
    if not as_json():
        print(f"{before}{message}", file=sys.stderr)
        return
    said = {"time": _time(datetime.now(UTC)), "level": "error", "logger": "thinkrec", "message": message}
    print(_line({**said, "exit_code": code, **more}), file=sys.stderr)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)

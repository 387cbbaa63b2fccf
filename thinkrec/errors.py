"""Errors that a user can fix. Each says what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path


class ThinkrecError(Exception):
    """Base class of errors that a user can fix; the command line prints them and exits with `exit_code`."""

    exit_code = 1


class ConfigError(ThinkrecError):
    """params.yaml or an option is wrong."""

    exit_code = 3


class MissingInputError(ThinkrecError):
    """A stage was run before its inputs exist."""

    exit_code = 4

    def __init__(self, path: Path, command: str, said: str = "") -> None:
        """Name the missing `path` and the `command` that makes it, unless `said` does."""
        super().__init__(said or f"{path} is not there yet: `{command}` makes it")
        self.path = path
        self.command = command


class DataError(ThinkrecError):
    """Raw or prepared data can't be used."""

    exit_code = 5


class ModelError(ThinkrecError):
    """A backbone, adapter, encoder or projector can't be used, or gives scores that are not finite."""

    exit_code = 6


class TeacherError(ThinkrecError):
    """A keyword extractor or reasoning teacher failed permanently."""

    exit_code = 7


class StorageError(ThinkrecError):
    """The disk is full or not writable."""

    exit_code = 8


class RequestError(ThinkrecError):
    """A trained system can't serve a request: an unknown id, an empty list, an item of the history."""

    exit_code = 10


class BusyError(ThinkrecError):
    """Another process is running the same stage of the same data set."""

    exit_code = 9

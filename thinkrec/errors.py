"""The errors that a person can act on. Each says what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path


class ThinkrecError(Exception):
    """Base of all errors that a user can mend; the command line prints them and exits with `exit_code`."""

    exit_code = 1


class ConfigError(ThinkrecError):
    """params.yaml or an option is wrong."""

    exit_code = 3


class MissingInputError(ThinkrecError):
    """A stage was run before what it needs exists."""

    exit_code = 4

    def __init__(self, path: Path, command: str) -> None:
        """Name the missing `path` and the `command` that makes it."""
        super().__init__(f"{path} is not there yet: `{command}` makes it")
        self.path = path
        self.command = command


class DataError(ThinkrecError):
    """Raw or prepared data can't be used."""

    exit_code = 5


class ModelError(ThinkrecError):
    """A backbone, adapter, encoder or projector can't be used."""

    exit_code = 6


class TeacherError(ThinkrecError):
    """A keyword extractor or reasoning teacher failed for good."""

    exit_code = 7


class StorageError(ThinkrecError):
    """The disk is full or may not be written."""

    exit_code = 8


class RequestError(ThinkrecError):
    """A trained system can't answer: an unknown id, an empty list, an item of the history."""

    exit_code = 10


class BusyError(ThinkrecError):
    """Another process runs the same stage of the same data set."""

    exit_code = 9

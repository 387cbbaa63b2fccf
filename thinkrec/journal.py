"""Append-only files of JSON lines from which an interrupted run resumes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from thinkrec.files import check_regular_file, storage_errors

log = logging.getLogger(__name__)
_DIGITS = 12
"""Digits of the hash before each line."""
_INVALID = (ValueError, TypeError, KeyError, RecursionError)
T = TypeVar("T")


def _hash(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest()[:_DIGITS].encode()


def _content(line: bytes) -> bytes:
    """Return a line's content.

    Raises:
        ValueError: its hash is wrong.
    """
    digest, _, content = line.partition(b" ")
    if digest != _hash(content):
        raise ValueError("wrong hash")
    return content


@dataclass(frozen=True)
class Journal:
    """A file of lines, each preceded by its hash.

    Args:
        path: of the file, created by the first line; None keeps nothing.
    """

    path: Path | None

    def read(self, parse: Callable[[bytes], T]) -> list[T]:
        """Read all lines; damaged ones are skipped with a warning.

        Args:
            parse: parses a line without its end; raises ValueError, TypeError, KeyError or RecursionError for
                a damaged one.

        Raises:
            StorageError: it is not a regular file, or not writable.
        """
        lines = self._lines()
        entries, bad = [], []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(parse(_content(line)))
            except _INVALID:
                bad.append(number)
        if bad:
            log.warning(
                "%s: %d of %d lines are damaged (the first is line %d); what they held is done again",
                self.path, len(bad), len(lines), bad[0],
            )  # fmt: skip
        return entries

    def read_start(self, parse: Callable[[bytes], T]) -> list[T]:
        """Read lines that depend on those before: the first damaged line and all after it are removed."""
        lines = self._lines()
        entries: list[T] = []
        for number, line in enumerate(lines):
            try:
                entries.append(parse(_content(line)))
            except _INVALID:
                log.warning(
                    "%s: line %d is damaged; it and the %d after it were removed, and what they held is done "
                    "again", self.path, number + 1, len(lines) - number - 1,
                )  # fmt: skip
                self._truncate(sum(len(each) + 1 for each in lines[:number]))
                break
        return entries

    def add(self, lines: Iterable[str]) -> None:
        """Append lines, given without their ends.

        Raises:
            StorageError: the disk is full or not writable.
        """
        if self.path is None:
            return
        content = (line.encode() for line in lines)
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.writelines(_hash(line) + b" " + line + b"\n" for line in content)

    def _lines(self) -> list[bytes]:
        """Read all lines, without their ends; an incomplete last one is removed from the file."""
        if self.path is None or not self.path.exists():
            return []
        check_regular_file(self.path)
        # Bytes, as a character may be cut in two; split at \n only, as texts may contain other line ends.
        with storage_errors(self.path):
            *lines, rest = self.path.read_bytes().split(b"\n")
        if rest:
            self._truncate(sum(len(line) + 1 for line in lines))
        return lines

    def _truncate(self, size: int) -> None:
        assert self.path is not None
        with storage_errors(self.path), self.path.open("rb+") as file:
            file.truncate(size)

"""Lines of JSON that are added while a stage runs, so that a run that was cut off goes on from them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from thinkrec.files import refuse_others, storage_errors

log = logging.getLogger(__name__)
_DIGITS = 12
"""Of each line's hash, which stands before it."""
_REFUSED = (ValueError, TypeError, KeyError, RecursionError)
T = TypeVar("T")


def _hash(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest()[:_DIGITS].encode()


def _held(line: bytes) -> bytes:
    """What a line of the file holds.

    Raises:
        ValueError: it is not as it was added.
    """
    said, _, held = line.partition(b" ")
    if said != _hash(held):
        raise ValueError("another hash")
    return held


@dataclass(frozen=True)
class Journal:
    """A file of lines, each whole or not there, and each behind a hash of it.

    Args:
        path: of the file, which is made with its folder by the first line; None keeps nothing.
    """

    path: Path | None

    def read(self, parse: Callable[[bytes], T]) -> list[T]:
        """Read what the lines hold; damaged ones are skipped, which is logged.

        Args:
            parse: makes of a line, without its end, what it holds; raises ValueError, TypeError, KeyError or
                RecursionError where it holds no such thing, which is damage, too.

        Raises:
            StorageError: the file is none, or may not be written.
        """
        lines = self._lines()
        found, bad = [], []
        for number, line in enumerate(lines, 1):
            try:
                found.append(parse(_held(line)))
            except _REFUSED:
                bad.append(number)
        if bad:
            log.warning(
                "%s: %d of %d lines are damaged (the first is line %d); what they held is done again",
                self.path, len(bad), len(lines), bad[0],
            )  # fmt: skip
        return found

    def read_start(self, parse: Callable[[bytes], T]) -> list[T]:
        """Read as `read`, where each line builds on those before: from a damaged one on all are removed."""
        lines = self._lines()
        found: list[T] = []
        for number, line in enumerate(lines):
            try:
                found.append(parse(_held(line)))
            except _REFUSED:
                log.warning(
                    "%s: line %d is damaged; it and the %d after it were removed, and what they held is done "
                    "again", self.path, number + 1, len(lines) - number - 1,
                )  # fmt: skip
                self._cut(sum(len(each) + 1 for each in lines[:number]))
                break
        return found

    def add(self, lines: Iterable[str]) -> None:
        """Add lines, given without their ends.

        Raises:
            StorageError: the disk is full or may not be written.
        """
        if self.path is None:
            return
        content = (line.encode() for line in lines)
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.writelines(_hash(line) + b" " + line + b"\n" for line in content)

    def _lines(self) -> list[bytes]:
        """All lines, without their ends; one that was cut off is removed from the file."""
        if self.path is None or not self.path.exists():
            return []
        refuse_others(self.path)
        # Bytes, since a letter may be cut in two; parted at \n alone, since texts may hold other line ends.
        with storage_errors(self.path):
            *lines, rest = self.path.read_bytes().split(b"\n")
        if rest:
            self._cut(sum(len(line) + 1 for line in lines))
        return lines

    def _cut(self, size: int) -> None:
        assert self.path is not None
        with storage_errors(self.path), self.path.open("rb+") as file:
            file.truncate(size)

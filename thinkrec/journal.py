"""Lines of JSON that are added while a stage runs, so that a run that was cut off goes on from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from thinkrec.files import storage_errors


@dataclass(frozen=True)
class Journal:
    """A file of lines, each whole or not there.

    Args:
        path: of the file, which is made with its folder by the first line; None keeps nothing.
    """

    path: Path | None

    def lines(self) -> list[bytes]:
        """Read all lines, without their ends; one that was cut off is removed from the file.

        Raises:
            StorageError: the file may not be written.
        """
        if self.path is None or not self.path.exists():
            return []
        # Bytes, since a letter may be cut in two; parted at \n alone, since texts may hold other line ends.
        with storage_errors(self.path):
            *lines, rest = self.path.read_bytes().split(b"\n")
        if rest:
            self._cut(lines)
        return lines

    def keep(self, count: int) -> list[bytes]:
        """Read as many of the first lines, and remove all others from the file.

        Raises:
            StorageError: the file may not be written.
        """
        lines = self.lines()
        if count < len(lines):
            self._cut(lines[:count])
        return lines[:count]

    def add(self, lines: Iterable[str]) -> None:
        """Add lines, given without their ends.

        Raises:
            StorageError: the disk is full or may not be written.
        """
        if self.path is None:
            return
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)

    def _cut(self, lines: list[bytes]) -> None:
        assert self.path is not None
        with storage_errors(self.path), self.path.open("rb+") as file:
            file.truncate(sum(len(line) + 1 for line in lines))

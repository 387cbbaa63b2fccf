"""Marks of unfinished work: a folder that was written to its end, and the hashes of its files."""

from __future__ import annotations

from pathlib import Path

from thinkrec.artifacts.manifest import describe, differing
from thinkrec.files import read_json, write_json

WHOLE = "whole.json"
"""The file in a folder that says so."""


def mark_whole(folder: Path) -> None:
    """Note that a folder was written to its end, and the hash of each of its files."""
    write_json(folder / WHOLE, describe(folder, deep=True))


def is_whole(folder: Path) -> bool:
    """Whether a folder's files are as they were when it was marked."""
    try:
        found = describe(folder, deep=True)
        noted = read_json(folder / WHOLE) if found.pop(WHOLE, None) else None  # reading a pipe would hang
        return isinstance(noted, dict) and not differing(noted, found)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False

"""Completion marks: a file in a folder with the hashes of all its files."""

from __future__ import annotations

from pathlib import Path

from thinkrec.artifacts.manifest import changed_files, describe
from thinkrec.files import read_json, write_json

WHOLE = "whole.json"
"""Name of the mark."""


def mark_whole(folder: Path) -> None:
    """Mark a folder as complete, with the hash of each file."""
    write_json(folder / WHOLE, describe(folder, deep=True))


def is_whole(folder: Path) -> bool:
    """Test whether a folder was marked and its files have not changed since."""
    try:
        actual = describe(folder, deep=True)
        recorded = read_json(folder / WHOLE) if actual.pop(WHOLE, None) else None  # reading a pipe would hang
        return isinstance(recorded, dict) and not changed_files(recorded, actual)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
